import { keyWords } from './bootstrap.command.js';

const shown = '\nThe key:\n\n    stw_live_x\n\n';

it('the key of the first administrator is shown to a person, and to a log only the file that has it', () => {
  expect(keyWords(true, shown, '/data/bootstrap-admin.key')).toBe('\nThe key:\n\n    stw_live_x\n');
  expect(keyWords(false, shown, '/data/bootstrap-admin.key')).toBe(
    "The administrator's key is in /data/bootstrap-admin.key.",
  );
});
