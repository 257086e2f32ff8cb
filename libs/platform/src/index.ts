export * from './auth/access.js';
export * from './auth/principal.js';
export type { RequestContext } from './requests/request-context.js';
export * from './tokens.js';
export * from './requests/read-gate.js';
export * from './auth/access-index.js';
export { addressAllowed, parseIp } from './requests/addresses.js';
export { AuditedEvent, AuditedEventList, auditForms, auditMessage, isActOf } from './audit/audit-form.js';
export * from './auth/auth-throttle.js';
export * from './auth/credentials.js';
export * from './auth/policy.js';
export * from './auth/member-usage.js';
export * from './auth/no-key-directory.js';
export * from './auth/principal-resolver.js';
export * from './auth/requires.js';
export * from './auth/target.js';
export * from './auth/admitted.js';
export { type FieldOptions } from './fields/field-rules.js';
export {
  BooleanField,
  CustomField,
  EnumField,
  ID_PATTERN,
  IdField,
  IntegerField,
  IntegerListField,
  JsonField,
  KEY_ID_PATTERN,
  KeyIdField,
  ObjectField,
  ObjectListField,
  refuseSecret,
  TextField,
  TextListField,
  TextMapField,
  TimeField,
  utcTimeOf,
} from './fields/fields.js';
export { Context, withoutPosition } from './http/context.decorator.js';
export * from './http/problem.filter.js';
export * from './http/strict-json.js';
export * from './requests/paging.js';
export { problemHeaders, problemOf, refusalOf } from './requests/problem.js';
export * from './fields/read-fields.js';
export { PositionGate, RequestContexts } from './requests/request-contexts.js';
export * from './requests/secrets-out.js';
export * from './auth/auth.guard.js';
export * from './auth/gatekeeper.js';
export * from './auth/bootstrap-keys.js';
export * from './config/config.js';
export { type KafkaConfig, kafkaOf } from './config/kafka-config.js';
export * from './telemetry/logger.js';
export * from './telemetry/metrics.js';
export { Readiness } from './telemetry/readiness.js';
export * from './config/secret-text.js';
export { createHttpApplication, registerRawRoutes } from './http/application.js';
export { BULK_BODY_BYTES_MAX, HTTP_LIMITS } from './http/limits.js';
export * from './http/ndjson.js';
export { csvAnswer, type CsvColumns, wantsCsv } from './http/csv-answer.js';
export * from './http/json-or-csv.js';
export * from './http/ndjson-answer.js';
export { Streamed, TakesBulkBody } from './http/route-options.js';
export * from './http/shutdown.js';
export { answerStrangeRequests, clientErrorHandler, type InFlightBySocket } from './http/socket-problems.js';
export { documentRawPaths } from './http/openapi.js';
export * from './internal/internal-answer.js';
export * from './internal/internal-calls.js';
export * from './internal/internal-door.js';
export * from './internal/internal.module.js';
export * from './internal/internal-tokens.js';
export * from './internal/member-usage-call.js';
export * from './internal/remote-credentials.js';
export * from './internal/replicas.js';
export * from './program/duties.js';
export * from './program/program.js';
export * from './telemetry/telemetry.module.js';
export * from './transport.module.js';
export * from './auth/auth.module.js';
export { clashesOf, isLoopbackHost, type OidcIssuer } from './oidc/issuers.js';
export * from './storage/database.js';
export * from './storage/storage.js';
export * from './storage/storage.module.js';
export { untilAvailable } from './storage/until-available.js';
export { addressOfPeer, callerAddress, GrpcAnswer, headerOf } from './grpc/grpc-call.js';
export * from './grpc/call-metadata.js';
export * from './grpc/grpc-methods.js';
export * from './grpc/grpc-server.js';
export { rpcStatusOf } from './grpc/rpc-status.js';
