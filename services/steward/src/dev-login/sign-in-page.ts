const PAGE = (body: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Steward: development sign-in</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 0 1rem; }
  input, button { font: inherit; padding: 0.4rem 0.6rem; width: 100%; box-sizing: border-box; margin-top: 0.6rem; }
</style>
${body}
</html>
`;

/** Asks for a user id and nothing else; it posts to where it stands. */
export const signInPage = (): string =>
  PAGE(`<h1>Development sign-in</h1>
<p>Anybody may be anybody here. Type a user id, such as <code>ada.fischer</code> of the demo.</p>
<form method="post">
  <label>User id <input name="userId" required autofocus autocomplete="username" pattern="[A-Za-z0-9._\\-]{1,64}"></label>
  <button>Sign in</button>
</form>`);

export const failurePage = (): string =>
  PAGE(`<h1>This sign-in cannot go on</h1>
<p>It is unknown or too old, or the user id is none. Go back to where you came from and begin again.</p>`);
