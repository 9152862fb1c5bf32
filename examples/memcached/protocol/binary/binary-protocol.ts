// memcached's binary protocol over bytes, beside the text protocol and over the same operations.
import { Field } from '../../shared/state.js';
import type { Memory } from '../../store/memory.js';
import { Administration, verboseCommands } from '../administration.js';
import { Arithmetic } from '../arithmetic.js';
import { Context, type Environment } from '../context.js';
import type { Output } from '../output.js';
import type { Session } from '../session.js';
import { Statistics } from '../statistics.js';
import { protocolVersion } from '../version.js';
import { Mode, Writer } from '../writer.js';
import { BinaryAnswer } from './answer.js';
import { BinaryAuthentication } from './authentication.js';
import { headerSize, Opcode, requestMagic, Status } from './header.js';
import { BinaryItems } from './items.js';
import { BinaryRequest } from './request.js';
import { BinaryRetrieval } from './retrieval.js';
import { BinaryStatistics } from './statistics.js';
import { BinaryStorage } from './storage.js';

export class BinaryProtocol {
  readonly #context: Context;
  readonly #request = new BinaryRequest();
  readonly #answer: BinaryAnswer;
  readonly #authentication: BinaryAuthentication;
  readonly #retrieval: BinaryRetrieval;
  readonly #storage: BinaryStorage;
  readonly #items: BinaryItems;
  readonly #administration: Administration;
  readonly #statistics: BinaryStatistics;
  /** The key has bytes that no key of the text protocol has. */
  #binaryKey = false;

  constructor(environment: Environment, out: Output) {
    const context = new Context(environment, out);
    const writer = new Writer(context);
    const request = this.#request;
    const answer = new BinaryAnswer(context, request);
    const arithmetic = new Arithmetic(context, writer);
    this.#context = context;
    this.#answer = answer;
    this.#authentication = new BinaryAuthentication(context, request, answer);
    this.#retrieval = new BinaryRetrieval(context, request, answer);
    this.#storage = new BinaryStorage(context, request, answer, writer);
    this.#items = new BinaryItems(context, request, answer, writer, arithmetic);
    this.#administration = new Administration(context);
    this.#statistics = new BinaryStatistics(context, request, answer, new Statistics(context));
  }

  /** The slot of the connection whose requests come next. */
  set slot(slot: number) {
    this.#context.slot = slot;
  }

  /** The number of requests that the last execute() served. */
  get served(): number {
    return 1;
  }

  /**
   * Serves the first request of input[start, end). Returns the number of bytes that it took; 0 if
   * it is not complete, and then session.needed says how many bytes it takes at least.
   */
  execute(input: Memory, start: number, end: number, session: Session): number {
    this.#context.session = session;
    if (session.swallow !== 0) return session.discard(end - start);
    if (input.getUint8(start) !== requestMagic) {
      session.closing = true;
      return end - start;
    }
    session.needed = 1;
    if (end - start < headerSize) {
      session.needed = headerSize;
      return 0;
    }
    const request = this.#request;
    request.read(input, start, end);
    const error = this.#error();
    if (error !== Status.Done) {
      this.#answer.fatal(error);
      return headerSize;
    }
    if (!request.known || (isSasl(request.command) && !this.#authentication.exists)) {
      this.#answer.error(Status.UnknownCommand);
      session.swallow = request.bodyLength;
      return headerSize;
    }
    const { headLength } = request;
    if (end - start < headLength) {
      session.needed = headLength;
      return 0;
    }
    this.#takeKey();
    if (this.#context.fields[Field.Watched] !== 0) this.#show();
    return this.#command();
  }

  /** Answers the last request by an error in place of its answer. */
  refuse(reason: string): void {
    this.#answer.error(Status.TooLarge, reason);
  }

  /** The error that ends the connection, Done if there is none. */
  #error(): Status {
    const request = this.#request;
    const { lengthError } = request;
    if (lengthError !== Status.Done) return lengthError;
    return this.#authentication.missing ? Status.AuthError : request.shapeError;
  }

  #takeKey(): void {
    const { key } = this.#context;
    const { input, keyAt, keyLength } = this.#request;
    const stop = keyAt + keyLength;
    this.#binaryKey = key.scan(input, keyAt, stop) < stop;
    if (this.#binaryKey) key.set(input, keyAt, keyLength);
  }

  /** Returns the bytes taken, 0 if a value is not complete yet. */
  #command(): number {
    const storage = this.#storage;
    const binaryKey = this.#binaryKey;
    switch (this.#request.command) {
      case Opcode.Set:
        return storage.store(Mode.Set, binaryKey);
      case Opcode.Add:
        return storage.store(Mode.Add, binaryKey);
      case Opcode.Replace:
        return storage.store(Mode.Replace, binaryKey);
      case Opcode.Append:
        return storage.store(Mode.Append, binaryKey);
      case Opcode.Prepend:
        return storage.store(Mode.Prepend, binaryKey);
      case Opcode.SaslAuth:
      case Opcode.SaslStep:
        return this.#authentication.authenticate();
    }
    this.#withoutValue();
    return this.#request.headLength;
  }

  #withoutValue(): void {
    const { session } = this.#context;
    const retrieval = this.#retrieval;
    const answer = this.#answer;
    switch (this.#request.command) {
      case Opcode.Get:
        return retrieval.get(false);
      case Opcode.GetK:
        return retrieval.get(true);
      case Opcode.Touch:
        return retrieval.touch(false, false);
      case Opcode.Gat:
        return retrieval.touch(true, false);
      case Opcode.GatK:
        return retrieval.touch(true, true);
      case Opcode.Delete:
        return this.#items.delete();
      case Opcode.Increment:
      case Opcode.Decrement:
        return this.#items.arithmetic(this.#binaryKey);
      case Opcode.Flush:
        return this.#flush();
      case Opcode.Verbosity:
        this.#administration.setVerbosity(this.#request.extra(0));
        return answer.done();
      case Opcode.Noop:
        return answer.done();
      case Opcode.Version:
        return answer.texts('', protocolVersion);
      case Opcode.Stat:
        return this.#statistics.run();
      case Opcode.SaslList:
        return this.#authentication.list();
      case Opcode.Quit:
        session.closing = true;
        return answer.done();
    }
  }

  /** The extras, if there are any, are the time of it. */
  #flush(): void {
    const { extrasLength } = this.#request;
    if (!this.#administration.countFlush()) return this.#answer.error(Status.AuthError);
    this.#administration.flush(extrasLength === 0 ? 0 : this.#request.extra(0));
    return this.#answer.done();
  }

  /** Shows opcode and key with the client's number; a client of UDP has none. */
  #show(): void {
    const { fields, slot, environment } = this.#context;
    if (fields[Field.Verbosity]! < verboseCommands) return;
    const client = slot < 0 ? 'udp' : environment.connections.numberOf(slot);
    const { opcode, keyText } = this.#request;
    console.error(`<${client} binary 0x${opcode.toString(16).padStart(2, '0')} ${keyText}`);
  }
}

function isSasl(command: Opcode): boolean {
  return command >= Opcode.SaslList && command <= Opcode.SaslStep;
}
