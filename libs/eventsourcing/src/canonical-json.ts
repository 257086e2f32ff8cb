/** What JSON.stringify would only put between quotes, as nearly every text of an event. */
const NEEDS_NO_ESCAPE = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

const quoted = (text: string): string => (NEEDS_NO_ESCAPE.test(text) ? `"${text}"` : JSON.stringify(text));

/** By UTF-16 code units, as RFC 8785 wants them and `sort` has them. */
function sortedNames(value: object): string[] {
  const names = Object.keys(value);
  for (let n = 1; n < names.length; n += 1) if ((names[n] as string) < (names[n - 1] as string)) return names.sort();
  return names;
}

/**
 * RFC 8785 canonical JSON. A member that is undefined is left out, and is null in a list, as JSON.stringify has it.
 * Throws TypeError for what has no JSON form.
 */
export function jcs(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
      if (!Number.isFinite(value)) throw withoutForm();
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      return value === null ? 'null' : jcsOfObject(value);
    case 'bigint':
    case 'function':
    case 'symbol':
    case 'undefined':
      throw withoutForm();
  }
}

const withoutForm = (): TypeError => new TypeError('A value without a JSON form cannot be canonicalised.');

function jcsOfObject(value: object): string {
  const { toJSON } = value as { readonly toJSON?: unknown };
  if (typeof toJSON === 'function') return jcs(Reflect.apply(toJSON, value, []));
  let text = '';
  if (Array.isArray(value)) {
    for (const member of value as readonly unknown[])
      text += `${text === '' ? '' : ','}${member === undefined ? 'null' : jcs(member)}`;
    return `[${text}]`;
  }
  const members = value as Readonly<Record<string, unknown>>;
  for (const name of sortedNames(value)) {
    const member = members[name];
    if (member !== undefined) text += `${text === '' ? '' : ','}${quoted(name)}:${jcs(member)}`;
  }
  return `{${text}}`;
}
