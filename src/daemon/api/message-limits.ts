import { type ConfigSchema, messageBytes, sizeBytes } from "../../plugin/index.ts";

/** The settings of a server of the API that bound its messages; they may change while it serves. */
export const messageSizes: Readonly<Record<keyof MessageSizes, ConfigSchema<number>>> = {
  max_recv_message_size: sizeBytes(messageBytes),
  max_send_message_size: sizeBytes(messageBytes),
};

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
