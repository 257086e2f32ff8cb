/**
 * True if `STEWARD_TEST_REQUIRE` (a list, parted by commas) names the part: its tests then fail where they would be left
 * out, so that a build that must test on the real thing never passes without.
 */
export const isRequired = (part: string): boolean =>
  (process.env['STEWARD_TEST_REQUIRE'] ?? '').split(',').some((name) => name.trim() === part);
