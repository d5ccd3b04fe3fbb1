import { ConnectionError, errorCode, maxWindowSize, settingId } from "./protocol.ts";
import type { Sender } from "./sender.ts";
import type { Stream } from "./stream.ts";

/** What the peer's SETTINGS change. */
export interface SettingsTarget {
  readonly isServer: boolean;
  readonly sender: Sender;
  readonly streams: ReadonlyMap<number, Stream>;
  peerMaxStreams: number;
  peerMaxHeaderList: number;
}

/** Applies the payload of a SETTINGS frame in its order. Errors: ConnectionError. Source: RFC 9113 section 6.5.2. */
export function applySettings(target: SettingsTarget, bytes: Buffer, start: number, end: number): void {
  if ((end - start) % 6 !== 0) throw new ConnectionError(errorCode.frameSizeError, "SETTINGS of a wrong size");
  for (let at = start; at < end; at += 6) apply(target, bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
}

function apply(target: SettingsTarget, id: number, value: number): void {
  switch (id) {
    case settingId.headerTableSize:
      target.sender.encoder.limit(value);
      break;
    case settingId.enablePush:
      if (value > 1 || (value === 1 && !target.isServer)) throw protocolError("ENABLE_PUSH has a wrong value");
      break;
    case settingId.maxConcurrentStreams:
      target.peerMaxStreams = value;
      break;
    case settingId.initialWindowSize:
      applyInitialWindow(target, value);
      break;
    case settingId.maxFrameSize:
      if (value < 16_384 || value > 16_777_215) throw protocolError("MAX_FRAME_SIZE has a wrong value");
      // Larger frames would only take longer turns.
      target.sender.maxFrameSize = Math.min(value, 65_536);
      break;
    case settingId.maxHeaderListSize:
      target.peerMaxHeaderList = value;
      break;
    default:
  }
}

/**
 * Moves the window of every stream by the difference between the old initial size and the new: credit that the peer
 * gave by WINDOW_UPDATE stays, and a window may become negative. Source: RFC 9113 section 6.9.2.
 */
function applyInitialWindow(target: SettingsTarget, value: number): void {
  if (value > maxWindowSize) throw new ConnectionError(errorCode.flowControlError, "INITIAL_WINDOW_SIZE is too large");
  const { sender } = target;
  const difference = value - sender.initialWindow;
  sender.initialWindow = value;
  for (const stream of target.streams.values()) {
    stream.sendWindow += difference;
    if (stream.sendWindow > maxWindowSize) {
      throw new ConnectionError(errorCode.flowControlError, "INITIAL_WINDOW_SIZE makes a window overflow");
    }
    sender.enqueue(stream);
  }
}

function protocolError(message: string): ConnectionError {
  return new ConnectionError(errorCode.protocolError, message);
}
