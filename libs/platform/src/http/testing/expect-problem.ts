import { errorCodes, type ErrorCode } from '#libs/contracts';
import type { Problem } from '../../requests/problem.js';
import type { RawAnswer } from './raw-socket.js';

/** A whole problem document of that code, which names the location if one is given. */
export async function expectProblem(response: Response, code: ErrorCode, location?: string): Promise<Problem> {
  const problem = (await response.json()) as Problem;
  const { status, title } = errorCodes[code];
  expect(problem).toMatchObject({ type: `/docs/errors#${code}`, title, status, code });
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(problem.requestId).toMatch(/^[0-9a-f-]{36}$/);
  expect(response.headers.get('steward-request-id')).toBe(problem.requestId);
  if (location !== undefined) expect(problem.errors?.map((error) => error.location)).toContain(location);
  return problem;
}

export function expectRawProblem(answer: RawAnswer, code: ErrorCode): void {
  expect(answer.status).toBe(errorCodes[code].status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(JSON.parse(answer.body)).toMatchObject({ code, status: errorCodes[code].status });
}
