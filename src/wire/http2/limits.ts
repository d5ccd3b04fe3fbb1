/** So many at once, so many a second on the long run. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** How much one connection may ask of us. */
export interface ConnectionLimits {
  /** Streams that the peer may have open. Each waiting call (a container's Wait) is one. */
  readonly maxConcurrentStreams: number;
  /** How much the peer may send on a stream before we have dealt with it. */
  readonly streamWindow: number;
  /** The same for all streams together. */
  readonly connectionWindow: number;
  /** Bytes received and not dealt with, on all streams together; above this the peer must wait. */
  readonly maxBufferedBytes: number;
  /** Bytes of answers that wait; above this new streams are refused. */
  readonly maxQueuedBytes: number;
  readonly maxFrameSize: number;
  /** Decoded, as RFC 9113 section 6.5.2 counts; the encoded block with its frames may be twice as large. */
  readonly maxHeaderListSize: number;
  /** PING, SETTINGS, PRIORITY, unknown and empty frames: what makes work and moves nothing. */
  readonly controlFrames: Rate;
  /** Streams that the peer resets before they are answered (CVE-2023-44487). */
  readonly resets: Rate;
}

export const defaultLimits: ConnectionLimits = {
  maxConcurrentStreams: 16_384,
  streamWindow: 1024 * 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxBufferedBytes: 64 * 1024 * 1024,
  maxQueuedBytes: 64 * 1024 * 1024,
  maxFrameSize: 16_384,
  maxHeaderListSize: 64 * 1024,
  controlFrames: { burst: 10_000, perSecond: 5000 },
  resets: { burst: 5000, perSecond: 500 },
};
