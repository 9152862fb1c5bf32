// The header of a binary request, and what is wrong with it. One object is reused for all of them.
import { Memory } from '../../store/memory.js';
import { longestKey } from '../context.js';
import type { Writer } from '../writer.js';
import { headerSize, longestBody, Opcode, quietForms, Status } from './header.js';

const opcodes = 256;

/** What an opcode's requests have. */
interface Shape {
  extras: readonly number[];
  /** Undefined: it may have a key. */
  key: boolean | undefined;
  value: boolean;
}

const none: Shape = { extras: [0], key: false, value: false };
const keyAlone: Shape = { extras: [0], key: true, value: false };
const setShape: Shape = { extras: [8], key: true, value: true };
const appendShape: Shape = { extras: [0], key: true, value: true };
const arithmeticShape: Shape = { extras: [20], key: true, value: false };
const touchShape: Shape = { extras: [4], key: true, value: false };

const shapes: readonly [Opcode, Shape][] = [
  [Opcode.Get, keyAlone],
  [Opcode.Set, setShape],
  [Opcode.Add, setShape],
  [Opcode.Replace, setShape],
  [Opcode.Delete, keyAlone],
  [Opcode.Increment, arithmeticShape],
  [Opcode.Decrement, arithmeticShape],
  [Opcode.Quit, none],
  [Opcode.Flush, { extras: [0, 4], key: false, value: false }],
  [Opcode.Noop, none],
  [Opcode.Version, none],
  [Opcode.GetK, keyAlone],
  [Opcode.Append, appendShape],
  [Opcode.Prepend, appendShape],
  [Opcode.Stat, { extras: [0], key: undefined, value: false }],
  [Opcode.Verbosity, { extras: [4], key: false, value: false }],
  [Opcode.Touch, touchShape],
  [Opcode.Gat, touchShape],
  [Opcode.SaslList, none],
  [Opcode.SaslAuth, appendShape],
  [Opcode.SaslStep, appendShape],
  [Opcode.GatK, touchShape],
];

/** By opcode: what it is a quiet form of, or the opcode itself. */
const loud = Uint8Array.from({ length: opcodes }, (_, opcode) => opcode);
for (const [quiet, opcode] of quietForms) loud[quiet] = opcode;

const shapeOf = new Map(shapes);
const shapeByOpcode = Array.from(loud, (opcode) => shapeOf.get(opcode as Opcode));

export class BinaryRequest {
  input = new Memory(Buffer.alloc(0));
  /** Its first byte. */
  start = 0;
  /** Where the input ends. */
  end = 0;
  /** The opcode as it was sent. */
  opcode = 0;
  /** The opcode without its quiet form. */
  command: Opcode = Opcode.Get;
  extrasLength = 0;
  keyLength = 0;
  bodyLength = 0;

  /** Reads the header. */
  read(input: Memory, start: number, end: number): void {
    this.input = input;
    this.start = start;
    this.end = end;
    this.opcode = input.getUint8(start + 1);
    this.command = loud[this.opcode]!;
    this.keyLength = input.getUint16(start + 2);
    this.extrasLength = input.getUint8(start + 4);
    this.bodyLength = input.getUint32(start + 8);
  }

  get quiet(): boolean {
    return this.opcode !== this.command;
  }

  /** Number of bytes before the value. */
  get headLength(): number {
    return headerSize + this.extrasLength + this.keyLength;
  }

  get valueLength(): number {
    return this.bodyLength - this.extrasLength - this.keyLength;
  }

  get keyAt(): number {
    return this.start + headerSize + this.extrasLength;
  }

  get hasCas(): boolean {
    return this.casHigh !== 0 || this.casLow !== 0;
  }

  get casHigh(): number {
    return this.input.getInt32(this.start + 16);
  }

  get casLow(): number {
    return this.input.getInt32(this.start + 20);
  }

  /** Makes the writer compare CAS numbers if the request has one. */
  compareBy(writer: Writer): void {
    writer.compare = this.hasCas;
    writer.uniqueHigh = this.casHigh;
    writer.uniqueLow = this.casLow;
  }

  /** A number of 32 bits at byte `at` of the extras. */
  extra(at: number): number {
    return this.input.getUint32(this.start + headerSize + at);
  }

  /** The same with a sign. */
  signedExtra(at: number): number {
    return this.input.getInt32(this.start + headerSize + at);
  }

  /** The key as a text. */
  get keyText(): string {
    return this.input.bytes.toString('latin1', this.keyAt, this.keyAt + this.keyLength);
  }

  /** True if there is a command with this opcode. */
  get known(): boolean {
    return shapeByOpcode[this.opcode] !== undefined;
  }

  /** The error of a request whose lengths are wrong, after which its connection ends. */
  get lengthError(): Status {
    if (this.valueLength < 0) return Status.UnknownCommand;
    return this.bodyLength > longestBody ? Status.Invalid : Status.Done;
  }

  /** The error of a known command whose key, extras or value should be others. */
  get shapeError(): Status {
    if (this.keyLength > longestKey) return Status.Invalid;
    const shape = shapeByOpcode[this.opcode];
    if (shape === undefined) return Status.Done;
    const { extras, key, value } = shape;
    const right =
      (this.extrasLength === extras[0] || this.extrasLength === extras[1]) &&
      (key === undefined || key === this.keyLength > 0) &&
      (value || this.valueLength === 0);
    return right ? Status.Done : Status.Invalid;
  }
}
