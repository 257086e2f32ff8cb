/** The promise's own end, or a rejection with the signal's reason as soon as that aborts; what comes later is dropped. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason instanceof Error ? signal.reason : new Error('It was broken off.'));
    };
    signal.addEventListener('abort', onAbort);
    promise
      .finally(() => {
        signal.removeEventListener('abort', onAbort);
      })
      .then(resolve, reject);
    if (signal.aborted) onAbort();
  });
}
