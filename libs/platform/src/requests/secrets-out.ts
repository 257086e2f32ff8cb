/** What must never reach a log line, an answer or a metric, wherever it comes from. */

/** A part of the secret is a secret as well, so a token that was cut short is found too. */
const TOKEN = /stw_[a-z0-9]{1,8}_[0-9A-Za-z]{16}_[0-9A-Za-z]{4,}/g;
const JWT = /eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+/g;
const CREDENTIAL = /\b(Bearer|Basic) +[\w.~+/=-]{8,}/gi;
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@"]*):[^\s@"]+@/gi;

/** The text with every Steward token, JWT, bearer credential and password inside a URL blotted out. */
export function withoutSecrets(text: string): string {
  return text
    .replace(TOKEN, '[token]')
    .replace(JWT, '[jwt]')
    .replace(CREDENTIAL, '$1 [credential]')
    .replace(URL_PASSWORD, '$1:[password]@');
}

const NAME_LENGTH_MAX = 64;

/** A name that a client made up, fit to be told back: without secrets, without control characters, not too long. */
export function printableName(name: string): string {
  const clean = withoutSecrets(name).replace(/[^\x20-\x7e\u00a1-\ud7ff\ue000-\ufffd]/g, '?');
  return clean.length > NAME_LENGTH_MAX ? `${clean.slice(0, NAME_LENGTH_MAX)}...` : clean;
}
