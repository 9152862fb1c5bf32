// With -Y a client has to send its name and password first, as the value of a "set" of any key.
import { counter } from '../shared/counters.js';
import type { Credentials } from '../shared/credentials.js';
import type { Context } from './context.js';
import * as reply from './replies.js';

const crlf = '\r\n';
const longestValue = 2048;

/**
 * Serves a client that has not authenticated. Returns the bytes taken, 0 if the value is not
 * complete yet.
 */
export function authenticate(context: Context, credentials: Credentials): number {
  const { tokens, out, session, count, request } = context;
  const { input, start, stop, next, end } = request;
  tokens.split(input, start, stop);
  const length = tokens.count < 5 || !tokens.is(0, 'set') ? -1 : tokens.unsigned(4);
  if (length < 0 || length > longestValue) {
    out.text(reply.unauthenticated);
    return request.lineLength;
  }
  const taken = request.lineLength + length + 2;
  if (end - start < taken) {
    session.needed = taken;
    return 0;
  }
  const value = input.bytes.toString('latin1', next, next + length + 2);
  const [user, password] = value
    .slice(0, -2)
    .split(' ')
    .filter((word) => word !== '');
  if (!value.endsWith(crlf)) out.text(reply.badTermination);
  else if (user === undefined || password === undefined) out.text(reply.badToken);
  else {
    count[counter.auth_cmds]!++;
    session.authenticated = credentials.accepts(user, password);
    if (!session.authenticated) count[counter.auth_errors]!++;
    out.text(session.authenticated ? reply.stored : reply.authFailure);
  }
  return taken;
}
