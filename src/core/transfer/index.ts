export { type ContainerCopies, type ContainerCopiesOptions, createContainerCopies } from "./container-copies.ts";
export { createTransferrer, type LocalTransferOptions } from "./local-transfer.ts";
export { createRegistriesService } from "./registries-service.ts";
export { createTransferService } from "./service.ts";
export type {
  Endpoint,
  OnTransferProgress,
  RegistryEndpoint,
  StoreEndpoint,
  TransferProgress,
  Transferrer,
} from "./transfer.ts";
