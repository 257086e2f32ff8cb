/** What every project shares; ESM needs the explicit extension map and the source condition of `#libs/*`. */
const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: { '^.+\\.ts$': ['@swc/jest'] },
  testEnvironmentOptions: { customExportConditions: ['steward-source', 'node', 'node-addons'] },
};

/** @type {import('jest').Config} */
export default {
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/{services,libs,test}/**/*.spec.ts'],
      testPathIgnorePatterns: [
        '/node_modules/',
        '/dist/',
        '\\.int\\.spec\\.ts$',
        '\\.e2e\\.spec\\.ts$',
        '\\.fault\\.spec\\.ts$',
        '/test/simulation/',
      ],
    },
    {
      // Hundreds of thousands of random commands: pure like the unit tests, and far slower.
      ...shared,
      displayName: 'simulation',
      testMatch: ['<rootDir>/test/simulation/**/*.spec.ts'],
      testPathIgnorePatterns: ['\\.int\\.spec\\.ts$'],
    },
    {
      ...shared,
      displayName: 'int',
      testMatch: ['<rootDir>/{services,libs,test}/**/*.int.spec.ts'],
    },
    {
      ...shared,
      displayName: 'e2e',
      testMatch: ['<rootDir>/test/**/*.{e2e,fault}.spec.ts'],
    },
  ],
  coverageProvider: 'v8',
  // A bound for what hangs; shared machines are at times ten times slower than quiet ones.
  testTimeout: 180_000,
};
