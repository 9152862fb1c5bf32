// Numbers of the binary protocol (memcached's protocol_binary.h).
//
// Requests and answers begin with a header of 24 bytes: magic, opcode, key length (2 bytes), extras
// length, data type, status (2 bytes), body length (4 bytes), opaque (4 bytes), CAS number (8
// bytes). The body is extras, key and value, in this order.

export const headerSize = 24;
export const requestMagic = 0x80;
export const answerMagic = 0x81;

/** Larger bodies end the connection. */
export const longestBody = 2 ** 30;

export const enum Opcode {
  Get = 0x00,
  Set = 0x01,
  Add = 0x02,
  Replace = 0x03,
  Delete = 0x04,
  Increment = 0x05,
  Decrement = 0x06,
  Quit = 0x07,
  Flush = 0x08,
  Noop = 0x0a,
  Version = 0x0b,
  GetK = 0x0c,
  Append = 0x0e,
  Prepend = 0x0f,
  Stat = 0x10,
  Verbosity = 0x1b,
  Touch = 0x1c,
  Gat = 0x1d,
  SaslList = 0x20,
  SaslAuth = 0x21,
  SaslStep = 0x22,
  GatK = 0x23,
}

/** The opcodes of quiet requests, and the opcodes that they are quiet forms of. */
export const quietForms: readonly [quiet: number, opcode: Opcode][] = [
  [0x09, Opcode.Get],
  [0x0d, Opcode.GetK],
  [0x11, Opcode.Set],
  [0x12, Opcode.Add],
  [0x13, Opcode.Replace],
  [0x14, Opcode.Delete],
  [0x15, Opcode.Increment],
  [0x16, Opcode.Decrement],
  [0x17, Opcode.Quit],
  [0x18, Opcode.Flush],
  [0x19, Opcode.Append],
  [0x1a, Opcode.Prepend],
  [0x1e, Opcode.Gat],
  [0x24, Opcode.GatK],
];

export const enum Status {
  Done = 0x00,
  NotFound = 0x01,
  Exists = 0x02,
  TooLarge = 0x03,
  Invalid = 0x04,
  NotStored = 0x05,
  NotNumeric = 0x06,
  AuthError = 0x20,
  AuthContinue = 0x21,
  UnknownCommand = 0x81,
  NoMemory = 0x82,
}
