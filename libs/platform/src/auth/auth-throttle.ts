import { Inject, Injectable } from '@nestjs/common';
import { networkOf } from '../requests/addresses.js';
import type { AppConfig } from '../config/config.js';
import { CONFIG } from '../tokens.js';

const GENERATION_ADDRESSES_MAX = 50_000;
const MINUTE_MS = 60_000;

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

/**
 * Counts failed authentications per address in a token bucket: as many at once as a minute allows, then at that rate.
 * It is asked only after a credential has failed, so a valid one is never throttled. It remembers an address until
 * 50,000 others or more have failed after it.
 */
@Injectable()
export class AuthThrottle {
  // A Map that forgets one entry at a time walks over all that it forgot, so a whole generation is forgotten at once.
  #young = new Map<string, Bucket>();
  #old = new Map<string, Bucket>();

  constructor(@Inject(CONFIG) private readonly config: Pick<AppConfig, 'authFailuresPerMinute'>) {}

  /** Whole seconds until the address may fail again, or undefined if this failure was still within the limit. */
  failed(ip: string | null, nowMs: number = performance.now()): number | undefined {
    const perMinute = this.config.authFailuresPerMinute;
    const address = ip === null ? '' : networkOf(ip);
    const bucket = this.#bucketOf(address, nowMs);
    const refilled = bucket.tokens + ((nowMs - bucket.filledAtMs) * perMinute) / MINUTE_MS;
    const tokens = Math.min(perMinute, refilled);
    const allowed = tokens >= 1;
    bucket.tokens = allowed ? tokens - 1 : tokens;
    bucket.filledAtMs = nowMs;
    return allowed ? undefined : Math.ceil(((1 - tokens) * MINUTE_MS) / perMinute / 1000);
  }

  #bucketOf(address: string, nowMs: number): Bucket {
    const known = this.#young.get(address);
    if (known !== undefined) return known;
    const bucket = this.#old.get(address) ?? { tokens: this.config.authFailuresPerMinute, filledAtMs: nowMs };
    if (this.#young.size === GENERATION_ADDRESSES_MAX) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(address, bucket);
    return bucket;
  }
}
