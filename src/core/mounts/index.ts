export { decodeMounts, encodeMounts } from "./mount-messages.ts";
