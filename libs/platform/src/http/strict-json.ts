import { isUtf8 } from 'node:buffer';
import type { ErrorCode } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import { printableName } from '../requests/secrets-out.js';
import { isStorable, NOT_STORABLE } from '../fields/storable-text.js';

const JSON_DEPTH_MAX = 16;

/** Names that change what an object is in JavaScript. */
const FORBIDDEN_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * JSON as an untrusted client sends it. Beyond what JSON.parse refuses, it refuses what two readers could read
 * differently or a store could not keep: text that is not UTF-8, a byte order mark, duplicate names, a depth over 16,
 * NUL, half a surrogate pair, numbers that would change their value. The refusal names the place, never the value.
 */
export function parseStrictJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw malformed('The body is not UTF-8.', 'body', 'is not UTF-8');
  const text = bytes.toString('utf8');
  if (text.startsWith('\ufeff'))
    throw malformed('The body begins with a byte order mark.', 'body', 'begins with a byte order mark');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message repeats the text, which may hold a secret.
    throw malformed('The body is not well-formed JSON.', 'body', 'is not well-formed JSON');
  }
  new Scanner(text).scan();
  return value;
}

const malformed = (detail: string, location: string, message: string): Refusal =>
  new Refusal('BODY_MALFORMED', detail, { errors: [{ location, message }] });

const wrongValue = (location: string, message: string, code: ErrorCode = 'VALIDATION'): Refusal =>
  new Refusal(code, `${location} ${message}.`, { errors: [{ location, message }] });

interface Frame {
  /** The names seen so far; undefined in a list. */
  readonly names: Set<string> | undefined;
  /** Where the scanner is inside it: the name or the index. */
  at: string | number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Walks over text that JSON.parse has accepted, so it need not look for errors of syntax. */
class Scanner {
  private readonly frames: Frame[] = [];
  private at = 0;
  private expectsName = false;

  constructor(private readonly text: string) {}

  scan(): void {
    const { text } = this;
    while (this.at < text.length) {
      switch (text.charCodeAt(this.at)) {
        case QUOTE:
          this.string();
          break;
        case 0x7b: // {
          this.open(new Set());
          break;
        case 0x5b: // [
          this.open(undefined);
          break;
        case 0x7d: // }
        case 0x5d: // ]
          this.frames.pop();
          this.expectsName = false;
          this.at += 1;
          break;
        case 0x2c: // ,
          this.next();
          break;
        case 0x2d: // -
        case 0x30:
        case 0x31:
        case 0x32:
        case 0x33:
        case 0x34:
        case 0x35:
        case 0x36:
        case 0x37:
        case 0x38:
        case 0x39:
          this.number();
          break;
        default:
          this.at += 1;
      }
    }
  }

  private open(names: Set<string> | undefined): void {
    if (this.frames.length === JSON_DEPTH_MAX) {
      // The field at the top is what its sender knows by name; the sixteen places below would only be counted.
      const field = ['body', ...this.frames.slice(0, 1).map(({ at }) => printableName(String(at)))].join('.');
      const fault = `is nested deeper than ${JSON_DEPTH_MAX} levels`;
      throw malformed(`${field} ${fault}.`, field, fault);
    }
    this.frames.push({ names, at: 0 });
    this.expectsName = names !== undefined;
    this.at += 1;
  }

  private next(): void {
    const frame = this.frames.at(-1);
    if (frame !== undefined && frame.names === undefined && typeof frame.at === 'number') frame.at += 1;
    this.expectsName = frame?.names !== undefined;
    this.at += 1;
  }

  private string(): void {
    const start = this.at;
    const { text } = this;
    let escapes = false;
    for (this.at += 1; text.charCodeAt(this.at) !== QUOTE; this.at += 1)
      if (text.charCodeAt(this.at) === BACKSLASH) {
        escapes = true;
        this.at += 1;
      }
    this.at += 1;
    const frame = this.frames.at(-1);
    const isName = this.expectsName && frame?.names !== undefined;
    this.expectsName = false;
    // Only an escape can bring a NUL or half a pair: raw ones are neither JSON nor UTF-8.
    if (!isName && !escapes) return;
    const value = escapes ? (JSON.parse(text.slice(start, this.at)) as string) : text.slice(start + 1, this.at - 1);
    if (isName) this.name(frame, value);
    else if (!isStorable(value)) throw wrongValue(this.place(), NOT_STORABLE);
  }

  private name(frame: Frame, name: string): void {
    const { names } = frame;
    frame.at = name;
    if (!isStorable(name)) throw wrongValue(this.place(), NOT_STORABLE);
    if (FORBIDDEN_NAMES.has(name)) throw wrongValue(this.place(), 'is a name that is not taken');
    if (names?.has(name) === true) throw malformed(`${this.place()} comes twice.`, this.place(), 'comes twice');
    names?.add(name);
  }

  private number(): void {
    const start = this.at;
    const { text } = this;
    while (this.at < text.length && '+-.eE0123456789'.includes(text.charAt(this.at))) this.at += 1;
    const digits = text.slice(start, this.at);
    const value = Number(digits);
    if (!Number.isFinite(value)) throw wrongValue(this.place(), 'is a number out of range');
    if (Object.is(value, -0)) throw wrongValue(this.place(), 'must not be negative zero');
    if (!/[.eE]/.test(digits) && !Number.isSafeInteger(value))
      throw wrongValue(
        this.place(),
        'is an integer beyond 9007199254740991, which cannot be kept exactly',
        value > 0 ? 'AMOUNT_OVERFLOW' : 'VALIDATION',
      );
  }

  private place(): string {
    return ['body', ...this.frames.map(({ at }) => printableName(String(at)))].join('.');
  }
}
