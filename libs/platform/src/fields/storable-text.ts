const HALF_PAIR = /\p{Surrogate}/u;

/** True if the text can be stored everywhere: no NUL, no half of a surrogate pair. */
export const isStorable = (text: string): boolean => !text.includes('\0') && !HALF_PAIR.test(text);

/** What is told of a text that cannot. */
export const NOT_STORABLE = 'must not hold NUL or half a surrogate pair';
