// SASL with the mechanism PLAIN, against the users and passwords of -Y.
import { counter } from '../../shared/counters.js';
import type { Credentials } from '../../shared/credentials.js';
import type { Context } from '../context.js';
import type { BinaryAnswer } from './answer.js';
import { headerSize, Opcode, Status } from './header.js';
import type { BinaryRequest } from './request.js';

const mechanism = 'PLAIN';
const longestMechanism = 32;
const longestValue = 2048;

/** What a client may do before it has authenticated. */
const free: readonly number[] = [Opcode.Version, Opcode.SaslList, Opcode.SaslAuth, Opcode.SaslStep];

export class BinaryAuthentication {
  readonly #context: Context;
  readonly #request: BinaryRequest;
  readonly #answer: BinaryAnswer;
  readonly #credentials: Credentials | undefined;

  constructor(context: Context, request: BinaryRequest, answer: BinaryAnswer) {
    this.#context = context;
    this.#request = request;
    this.#answer = answer;
    this.#credentials = context.environment.credentials;
  }

  /** Whether the client must authenticate before this request. */
  get missing(): boolean {
    return (
      this.#credentials !== undefined &&
      !this.#context.session.authenticated &&
      !free.includes(this.#request.opcode)
    );
  }

  /** Without -Y there are no such commands. */
  get exists(): boolean {
    return this.#credentials !== undefined;
  }

  list(): void {
    this.#answer.texts('', mechanism);
  }

  /** The key is the mechanism. Returns the bytes taken, 0 if the value is not complete yet. */
  authenticate(): number {
    const { session } = this.#context;
    const { start, end, headLength, keyLength, valueLength, bodyLength } = this.#request;
    if (keyLength > longestMechanism || valueLength > longestValue) {
      this.#answer.error(keyLength > longestMechanism ? Status.Invalid : Status.NoMemory);
      session.swallow = valueLength;
      return headLength;
    }
    const taken = headerSize + bodyLength;
    if (end - start < taken) {
      session.needed = taken;
      return 0;
    }
    this.#check();
    return taken;
  }

  #check(): void {
    const { session, count } = this.#context;
    const { command, keyText, valueLength } = this.#request;
    const expected = command === Opcode.SaslAuth || session.stepping;
    session.authenticated = false;
    session.stepping = command === Opcode.SaslAuth && keyText === mechanism && valueLength === 0;
    if (session.stepping) {
      this.#answer.texts('', '', Status.AuthContinue);
      return;
    }
    count[counter.auth_cmds]!++;
    session.authenticated = expected && keyText === mechanism && this.#accepted();
    if (session.authenticated) this.#answer.texts('', 'Authenticated');
    else {
      count[counter.auth_errors]!++;
      this.#answer.error(Status.AuthError);
    }
  }

  /** The value is <another user to act as>\0<user>\0<password>. */
  #accepted(): boolean {
    const { input, start, headLength, valueLength } = this.#request;
    const at = start + headLength;
    const words = input.bytes.toString('latin1', at, at + valueLength).split('\0');
    const [, user = '', password = ''] = words;
    if (words.length !== 3 || user === '' || password === '') return false;
    return this.#credentials?.accepts(user, password) ?? false;
  }
}
