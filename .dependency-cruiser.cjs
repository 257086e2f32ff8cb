/** The direction of imports (docs/architecture.md). Each rule's comment is the reason that a reader of a failure sees. */
const spec = '\\.spec\\.ts$';
/** What of a service needs nothing but events. */
const foldable = [
  '^services/[^/]+/src/domain/',
  '^services/[^/]+/src/[^/]+\\.projection[^/]*\\.ts$',
  '^services/[^/]+/src/projections/',
  '^services/[^/]+/src/read-models/[^/]+\\.projection\\.ts$',
];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'A cycle between injectable files crashes ESM at load.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'not-to-unresolvable',
      comment: 'An import that resolves to nothing fails at run time.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'contracts-import-nothing',
      comment: 'The published language stands by itself.',
      severity: 'error',
      from: { path: '^libs/contracts/', pathNot: spec },
      to: { pathNot: '^libs/contracts/' },
    },
    {
      name: 'eventsourcing-is-framework-free',
      comment: 'Deciders, codec and port know no framework and no database.',
      severity: 'error',
      from: { path: '^libs/eventsourcing/src/', pathNot: [spec, '/testing/'] },
      to: {
        pathNot: [
          '^libs/(eventsourcing|contracts)/src/',
          '^(node:)?(crypto|timers|diagnostics_channel)',
          'node_modules/uuid/',
        ],
      },
    },
    {
      name: 'domain-is-pure',
      comment: 'A decider reaches only itself, the event contracts and the event-sourcing types.',
      severity: 'error',
      from: { path: '^services/[^/]+/src/domain/', pathNot: spec },
      to: { pathNot: ['^services/[^/]+/src/domain/', '^libs/(contracts|eventsourcing)/src/'] },
    },
    {
      name: 'adapters-know-no-platform',
      comment: 'contracts <- eventsourcing <- postgres | kurrentdb | kafka <- platform <- services.',
      severity: 'error',
      from: { path: '^libs/(postgres|kurrentdb|kafka)/src/', pathNot: spec },
      to: { path: '^libs/(platform|client)/' },
    },
    {
      name: 'adapters-know-not-each-other',
      comment: 'Each engine is behind a port of its own; what puts two together is the platform.',
      severity: 'error',
      from: { path: '^libs/(postgres|kurrentdb|kafka)/src/', pathNot: [spec, '/testing/'] },
      to: { path: '^libs/(postgres|kurrentdb|kafka)/', pathNot: '^libs/$1/' },
    },
    {
      name: 'one-door-to-the-event-store-client',
      comment: 'Its traps are known in one place.',
      severity: 'error',
      from: { pathNot: '^libs/kurrentdb/src/' },
      to: { path: 'node_modules/@eventstore/' },
    },
    {
      name: 'libs-never-import-services',
      comment: 'A library that knows a service is no library.',
      severity: 'error',
      from: { path: '^libs/', pathNot: '^libs/testing/' },
      to: { path: '^services/' },
    },
    {
      name: 'compositions-import-modules-only',
      comment: 'steward mounts modules; what is behind a module is its own.',
      severity: 'error',
      from: { path: '^services/steward/', pathNot: spec },
      to: { path: '^services/(?!steward/)', pathNot: '^services/[^/]+/src/[^/]+\\.module\\.ts$' },
    },
    {
      name: 'services-never-import-each-other',
      comment: 'Services meet through events; audit and cli may fold a stream with a pure domain.',
      severity: 'error',
      from: { path: '^services/([^/]+)/', pathNot: ['^services/(steward|projector|audit|cli)/', spec] },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'folders-of-events-use-pure-domains-only',
      comment: 'audit, cli and the projector may import the pure domain and the projections of any service.',
      severity: 'error',
      from: {
        path: '^services/(audit|cli|projector)/',
        pathNot: [spec, '^services/cli/src/administrators\\.ts$', '^services/projector/src/projector\\.program\\.ts$'],
      },
      to: { path: '^services/(?!audit/|cli/|projector/)', pathNot: foldable },
    },
    {
      name: 'some-programs-are-composed-of-modules',
      comment:
        'To make an administrator (bootstrap, recover) the command line puts parts of two services together, as a composition does; so does the projector with what folds telemetry.',
      severity: 'error',
      from: { path: '^services/(cli/src/administrators|projector/src/projector\\.program)\\.ts$' },
      to: { path: '^services/(?!cli/|projector/)', pathNot: '^services/[^/]+/src/[^/]+\\.module\\.ts$' },
    },
    {
      name: 'not-to-dev-dependencies',
      comment: 'Production code installs without the development dependencies.',
      severity: 'error',
      from: { path: '^(services|libs)/', pathNot: [spec, '^libs/testing/', '/testing/'] },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm', 'npm-optional'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['steward-source', 'import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
