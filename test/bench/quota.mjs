// P8 and P9: one hot project, in the service core and over HTTP.
import { quotaCore } from './quota-core.mjs';
import { quotaHttp } from './quota-http.mjs';

/** Rows of the table of figures. */
export const quota = async (options) => [...(await quotaCore(options)), ...(await quotaHttp(options))];
