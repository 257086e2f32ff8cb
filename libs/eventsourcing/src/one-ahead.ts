/**
 * The same pages in the same order; while one is worked on the next is read already, and no more than that. Whoever leaves
 * early aborts what reads them as well, for a page that is being read is not waited for.
 */
export async function* oneAhead<Page>(pages: AsyncIterable<Page>): AsyncGenerator<Page, void, undefined> {
  const reader = pages[Symbol.asyncIterator]();
  let next = reader.next();
  try {
    for (let read = await next; read.done !== true; read = await next) {
      next = reader.next();
      // Its failure is told to whoever asks for it, which may be nobody.
      next.catch(() => undefined);
      yield read.value;
    }
  } finally {
    void reader.return?.().catch(() => undefined);
  }
}
