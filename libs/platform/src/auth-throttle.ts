import { Inject, Injectable } from '@nestjs/common';
import { networkOf } from './addresses.js';
import type { AppConfig } from './config.js';
import { CONFIG } from './tokens.js';

const ADDRESSES_MAX = 100_000;
const MINUTE_MS = 60_000;

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

/**
 * Counts failed authentications per address in a token bucket: as many at once as a minute allows, then at that rate.
 * It is asked only after a credential has failed, so a valid one is never throttled.
 */
@Injectable()
export class AuthThrottle {
  // A Map keeps the order of insertion, so the first entry is the one that failed longest ago.
  readonly #buckets = new Map<string, Bucket>();

  constructor(@Inject(CONFIG) private readonly config: Pick<AppConfig, 'authFailuresPerMinute'>) {}

  /** Whole seconds until the address may fail again, or undefined if this failure was still within the limit. */
  failed(ip: string | null, nowMs: number = performance.now()): number | undefined {
    const perMinute = this.config.authFailuresPerMinute;
    const address = ip === null ? '' : networkOf(ip);
    const before = this.#buckets.get(address) ?? { tokens: perMinute, filledAtMs: nowMs };
    const refilled = before.tokens + ((nowMs - before.filledAtMs) * perMinute) / MINUTE_MS;
    const tokens = Math.min(perMinute, refilled);
    const allowed = tokens >= 1;
    this.#keep(address, { tokens: allowed ? tokens - 1 : tokens, filledAtMs: nowMs });
    return allowed ? undefined : Math.ceil(((1 - tokens) * MINUTE_MS) / perMinute / 1000);
  }

  #keep(address: string, bucket: Bucket): void {
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    if (this.#buckets.size <= ADDRESSES_MAX) return;
    const oldest = this.#buckets.keys().next();
    if (oldest.done !== true) this.#buckets.delete(oldest.value);
  }
}
