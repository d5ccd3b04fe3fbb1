import { messageBytes } from "../plugin/index.ts";

export interface MessageSizes {
  readonly max_recv_message_size: number;
  readonly max_send_message_size: number;
}

/** 0 is the default for what comes in, and no limit for what goes out. */
export function limitsOf(config: MessageSizes): { readonly maxReceiveBytes: number; readonly maxSendBytes: number } {
  return {
    maxReceiveBytes: config.max_recv_message_size || messageBytes,
    maxSendBytes: config.max_send_message_size || Number.POSITIVE_INFINITY,
  };
}
