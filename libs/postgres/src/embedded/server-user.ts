import { readFile, realpath, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';

/** Whom the server runs as. `uid` undefined = as whoever runs Steward. */
export interface ServerUser {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

export const OWN_USER: ServerUser = { uid: undefined, gid: undefined };

export const runsAsRoot = (): boolean => process.getuid?.() === 0;

/** PostgreSQL refuses to run as root; an account that every system has is used, and none is ever made. */
export async function unprivilegedUser(): Promise<ServerUser> {
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const nobody = accounts.find(([name, , uid]) => name === 'nobody' && uid !== '0');
  if (nobody === undefined)
    throw new Error('There is no user nobody to run PostgreSQL as; start Steward as another user.');
  return { uid: Number(nobody[2]), gid: Number(nobody[3]) };
}

/** True if the user may traverse every directory down to this one, which must exist. */
export async function canReach(user: ServerUser, directory: string): Promise<boolean> {
  if (user.uid === undefined) return true;
  for (let at = await realpath(directory); ; at = dirname(at)) {
    const { uid, gid, mode } = await stat(at);
    const traverse = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & traverse) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** A temporary folder that is short enough for the path of a socket and that every user can traverse. */
export async function shortTemporaryFolder(user: ServerUser = OWN_USER): Promise<string> {
  const folder = tmpdir();
  return folder.length <= 60 && (await canReach(user, folder)) ? folder : '/tmp';
}
