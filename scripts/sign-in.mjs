// Signs a person in at an identity provider (authorization code with PKCE) and prints the access token to stdout:
//   TOKEN=$(npm run --silent sign-in)
// The address to open in a browser goes to stderr. Without options it asks the one of `npm start -- --dev-login`.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { URLSearchParams } from 'node:url';
import { parseArgs } from 'node:util';

const DEV_ISSUER = 'http://127.0.0.1:8090';
const USAGE = `npm run sign-in -- [--issuer ${DEV_ISSUER}] [--client-id steward-dev] [--scope openid] [--port 0]`;

function readOptions() {
  const options = {
    issuer: { type: 'string', default: DEV_ISSUER },
    'client-id': { type: 'string', default: 'steward-dev' },
    scope: { type: 'string', default: 'openid' },
    port: { type: 'string', default: '0' },
  };
  try {
    return parseArgs({ options }).values;
  } catch {
    console.error(USAGE);
    return process.exit(64);
  }
}

const values = readOptions();

const WAIT_MS_MAX = 300_000;
const ANSWER_MS_MAX = 10_000;

async function asked(url, init) {
  const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${answer.error ?? ''}`);
  return answer;
}

/** The code that the browser brings back to the listener. */
async function codeFrom(listener, state) {
  const timer = setTimeout(() => listener.emit('error', new Error('Nobody signed in within 5 minutes.')), WAIT_MS_MAX);
  try {
    for (;;) {
      const [request, response] = await once(listener, 'request');
      const { pathname, searchParams } = new URL(request.url, 'http://127.0.0.1');
      const isAnswer = pathname === '/callback' && searchParams.get('state') === state;
      response.writeHead(isAnswer ? 200 : 404, { 'content-type': 'text/plain', connection: 'close' });
      response.end(isAnswer ? 'You may close this page and go back to the terminal.' : 'Nothing is here.');
      if (!isAnswer) continue;
      const code = searchParams.get('code');
      if (code === null) throw new Error(`The sign-in failed: ${searchParams.get('error')}`);
      return code;
    }
  } finally {
    clearTimeout(timer);
  }
}

const listener = createServer();
try {
  const issuer = values.issuer.replace(/\/$/, '');
  const provider = await asked(`${issuer}/.well-known/openid-configuration`);
  listener.listen(Number(values.port), '127.0.0.1');
  await once(listener, 'listening');
  const redirectUri = `http://127.0.0.1:${listener.address().port}/callback`;
  const [verifier, state] = [randomBytes(32).toString('base64url'), randomBytes(16).toString('base64url')];
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const code = codeFrom(listener, state);
  const query = new URLSearchParams({
    client_id: values['client-id'],
    response_type: 'code',
    scope: values.scope,
    redirect_uri: redirectUri,
    state,
    code_challenge: challenge,
    code_challenge_method: 'S256',
    prompt: 'login',
  });
  console.error(`Open this address in a browser:\n${provider.authorization_endpoint}?${query}`);
  const { access_token: token } = await asked(provider.token_endpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: values['client-id'],
      redirect_uri: redirectUri,
      code: await code,
      code_verifier: verifier,
    }),
  });
  console.log(token);
} catch (error) {
  const start = values.issuer === DEV_ISSUER ? ' Start Steward by `npm start -- --dev-login` first.' : '';
  const isAway = error.cause?.code === 'ECONNREFUSED';
  console.error(isAway ? `Nothing listens at ${values.issuer}.${start}` : error.message);
  process.exitCode = 1;
} finally {
  listener.close();
}
