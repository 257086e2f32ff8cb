import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getSecurely } from 'node:https';

const ANSWER_MS_MAX = 2_500;

/**
 * Whether a process of this machine says at `/readyz` that it is. Its certificate is of the name under which clients
 * come and perhaps of nobody whom we know, and nothing secret is asked: whoever answers is believed.
 */
export function isReady(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { agent: false, signal: AbortSignal.timeout(ANSWER_MS_MAX), rejectUnauthorized: false } as const;
    const answered = (answer: IncomingMessage): void => {
      answer.on('error', () => undefined).resume();
      resolve(answer.statusCode === 200);
    };
    const get = url.startsWith('https:') ? getSecurely : getPlain;
    get(`${url}/readyz`, options, answered).on('error', () => {
      resolve(false);
    });
  });
}
