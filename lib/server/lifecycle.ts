// The states of a server, and which may follow which.
import { RssError } from '../errors.js';

export type State =
  | 'new'
  | 'starting'
  | 'listening'
  /** A successor is being started. */
  | 'upgrading'
  /** A successor serves as well. */
  | 'upgraded'
  | 'closing'
  | 'closed';

const following: Readonly<Record<State, readonly State[]>> = {
  new: ['starting', 'closing'],
  starting: ['listening', 'closing'],
  listening: ['upgrading', 'closing'],
  upgrading: ['upgraded', 'listening', 'closing'],
  upgraded: ['listening', 'closing'],
  closing: ['closed'],
  closed: [],
};

export class Lifecycle {
  #state: State = 'new';

  get state(): State {
    return this.#state;
  }

  is(...states: State[]): boolean {
    return states.includes(this.#state);
  }

  /** Whether the server accepts connections and datagrams. */
  get serving(): boolean {
    return this.is('listening', 'upgrading', 'upgraded');
  }

  /** Changes the state. Throws ERR_RSS_STATE, naming the call, if `state` may not follow. */
  enter(state: State, call: string): void {
    if (!following[this.#state].includes(state)) this.refuse(call);
    this.#state = state;
  }

  refuse(call: string): never {
    const present = this.#state === 'new' ? 'does not listen yet' : `is ${this.#state}`;
    throw new RssError('ERR_RSS_STATE', `${call} is not possible: the server ${present}`);
  }
}
