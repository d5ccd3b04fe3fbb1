/** Frame types. Source: RFC 9113 section 6. */
export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Frame flags; ACK shares END_STREAM's bit. Source: RFC 9113 section 6. */
export const flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** Error codes. Source: RFC 9113 section 7. */
export const errorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;
export type ErrorCode = (typeof errorCode)[keyof typeof errorCode];

/** Settings. Source: RFC 9113 section 6.5.2. */
export const settingId = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

/** What both sides start from before any SETTINGS frame. Source: RFC 9113 sections 6.5.2 and 6.9.2. */
export const protocolDefaults = {
  headerTableSize: 4096,
  windowSize: 65_535,
  maxFrameSize: 16_384,
} as const;

export const frameHeaderSize = 9;
export const maxWindowSize = 0x7fff_ffff;
/** What a client says first. Source: RFC 9113 section 3.4. */
export const connectionPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** The peer broke the protocol in a way that ends the connection: it is told by GOAWAY and hung up on. */
export class ConnectionError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = "ConnectionError";
    this.code = code;
  }
}
