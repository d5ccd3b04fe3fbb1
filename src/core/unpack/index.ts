export { createUnpacker, type UnpackerOptions } from "./image-unpacker.ts";
export type {
  LayerSource,
  LayerTee,
  UnpackableImage,
  Unpacker,
  UnpackProgress,
  UnpackTarget,
} from "./unpacker.ts";
