import { TOKEN_PATTERN } from '../key-secret.js';

/** What a secret scanner needs to know of the tokens of this house. */
export const keyPatternDocument = JSON.stringify({
  name: 'Steward API key',
  prefix: 'stw_',
  pattern: TOKEN_PATTERN,
  form: 'stw_<environment>_<key ID, 16>_<secret, 32><checksum, 6>',
  checksum: {
    algorithm: 'CRC-32 (ISO-HDLC, as in zlib)',
    over: 'everything before the last 6 characters',
    encoding: 'base62 of 0-9A-Za-z, left-padded with 0 to 6 characters',
  },
  masked: 'stw_<environment>_<first 4 of the key ID>…',
  report: '/v1/keys/{keyId}/revoke',
});
