import type { CommandContext } from '#libs/eventsourcing';

/** What tenancy asks of the keys service for the first administrator; services meet in this port and not in imports. */
export abstract class BootstrapKeys {
  /**
   * Makes a key of the principal that may manage keys, without a project, scopes or an expiry, and answers its token.
   * It reads nothing from an index, so it works before the program listens and in a command line beside it.
   */
  abstract issue(principalId: string, context: CommandContext): Promise<string>;
}
