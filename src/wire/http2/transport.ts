/** What a connection needs of the socket under it; TLS is another one of these. */
export interface Transport {
  /** The socket's descriptor; undefined where there is none, or none any more. */
  readonly fd: number | undefined;
  /** Takes what fits now and returns how many bytes that was; negative once the socket is gone. */
  write(bytes: Uint8Array): number;
  /** Stops and restarts the arrival of data. */
  pause(): void;
  resume(): void;
  /** Sends the end after what was written. */
  end(): void;
  /** Hangs up at once. */
  terminate(): void;
}
