// Exits 0 if the Steward beside this process answers the path with 200: `node health.mjs /readyz`.
import http from 'node:http';
import https from 'node:https';

const TIMEOUT_MS = 4_000;

const secure = (process.env.STEWARD_TLS_CERT_FILE ?? '') !== '';
const request = (secure ? https : http).get(
  {
    host: '127.0.0.1',
    port: process.env.STEWARD_PORT || 8080,
    path: process.argv[2] ?? '/healthz',
    timeout: TIMEOUT_MS,
    // The certificate bears the public name, and nothing but this container can answer on its loopback.
    rejectUnauthorized: false,
  },
  (response) => process.exit(response.statusCode === 200 ? 0 : 1),
);
request.on('timeout', () => process.exit(1));
request.on('error', () => process.exit(1));
