export { collectableImages } from "./collectable-images.ts";
export type { ImageDeleteOptions, ImageStore, ImageUpdateOptions, ImageWriteOptions } from "./images.ts";
export { createImagesService, type ImagesServiceOptions } from "./service.ts";
export { createImageStore, type ImageStoreOptions, imagesSchema, importImage } from "./store.ts";
