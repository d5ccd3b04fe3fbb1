import { type ConnectionLimits, defaultLimits } from "../http2/index.ts";

export interface GrpcLimits extends ConnectionLimits {
  /** The largest message that is taken. Source: containerd defaults/defaults.go, DefaultMaxRecvMsgSize. */
  readonly maxReceiveBytes: number;
  /** The largest message that a server answers with. */
  readonly maxSendBytes: number;
}

export const defaultGrpcLimits: GrpcLimits = {
  ...defaultLimits,
  maxReceiveBytes: 16 * 1024 * 1024,
  maxSendBytes: Number.POSITIVE_INFINITY,
};
