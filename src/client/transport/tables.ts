// Made by generate.ts from src/gen; not edited by hand. tables.test.ts tells when it is out of date.

/** Every message that the client sends or reads: its fields as `name:number:kind[:type]`, `*` before a repeated kind. */
export const messageTable: Readonly<Record<string, string>> = {
  "containerd.events.ContainerCreate": "id:1:s image:2:s runtime:3:m:containerd.events.ContainerCreate.Runtime",
  "containerd.events.ContainerCreate.Runtime": "name:1:s options:2:m:google.protobuf.Any",
  "containerd.events.ContainerDelete": "id:1:s",
  "containerd.events.ContainerUpdate": "id:1:s image:2:s labels:3:{s snapshotKey:4:s",
  "containerd.events.ContentCreate": "digest:1:s size:2:I mediaType:3:s",
  "containerd.events.ContentDelete": "digest:1:s",
  "containerd.events.NamespaceCreate": "name:1:s labels:2:{s",
  "containerd.events.NamespaceDelete": "name:1:s",
  "containerd.events.NamespaceUpdate": "name:1:s labels:2:{s",
  "containerd.events.SandboxCreate": "sandboxId:1:s",
  "containerd.events.SandboxExit": "sandboxId:1:s exitStatus:2:u exitedAt:3:m:google.protobuf.Timestamp",
  "containerd.events.SandboxStart": "sandboxId:1:s",
  "containerd.events.SnapshotCommit": "key:1:s name:2:s snapshotter:5:s",
  "containerd.events.SnapshotPrepare": "key:1:s parent:2:s snapshotter:5:s",
  "containerd.events.SnapshotRemove": "key:1:s snapshotter:5:s",
  "containerd.events.TaskCheckpointed": "containerId:1:s checkpoint:2:s",
  "containerd.events.TaskCreate":
    "containerId:1:s bundle:2:s rootfs:3:*m:containerd.types.Mount io:4:m:containerd.events.TaskIO checkpoint:5:s pid:6:u",
  "containerd.events.TaskDelete":
    "containerId:1:s pid:2:u exitStatus:3:u exitedAt:4:m:google.protobuf.Timestamp id:5:s",
  "containerd.events.TaskExecAdded": "containerId:1:s execId:2:s",
  "containerd.events.TaskExecStarted": "containerId:1:s execId:2:s pid:3:u",
  "containerd.events.TaskExit": "containerId:1:s id:2:s pid:3:u exitStatus:4:u exitedAt:5:m:google.protobuf.Timestamp",
  "containerd.events.TaskIO": "stdin:1:s stdout:2:s stderr:3:s terminal:4:o",
  "containerd.events.TaskOOM": "containerId:1:s",
  "containerd.events.TaskPaused": "containerId:1:s",
  "containerd.events.TaskResumed": "containerId:1:s",
  "containerd.events.TaskStart": "containerId:1:s pid:2:u",
  "containerd.runc.v1.CheckpointOptions":
    "exit:1:o openTcp:2:o externalUnixSockets:3:o terminal:4:o fileLocks:5:o emptyNamespaces:6:*s cgroupsMode:7:s imagePath:8:s workPath:9:s parentPath:10:s",
  "containerd.runc.v1.Options":
    "noPivotRoot:1:o noNewKeyring:2:o shimCgroup:3:s ioUid:4:u ioGid:5:u binaryName:6:s root:7:s systemdCgroup:9:o criuImagePath:10:s criuWorkPath:11:s taskApiAddress:12:s taskApiVersion:13:u",
  "containerd.runc.v1.ProcessDetails": "execId:1:s",
  "containerd.services.containers.v1.Container":
    "id:1:s labels:2:{s image:3:s runtime:4:m:containerd.services.containers.v1.Container.Runtime spec:5:m:google.protobuf.Any snapshotter:6:s snapshotKey:7:s createdAt:8:m:google.protobuf.Timestamp updatedAt:9:m:google.protobuf.Timestamp extensions:10:{m:google.protobuf.Any sandbox:11:s",
  "containerd.services.containers.v1.Container.Runtime": "name:1:s options:2:m:google.protobuf.Any",
  "containerd.services.containers.v1.CreateContainerRequest":
    "container:1:m:containerd.services.containers.v1.Container",
  "containerd.services.containers.v1.CreateContainerResponse":
    "container:1:m:containerd.services.containers.v1.Container",
  "containerd.services.containers.v1.DeleteContainerRequest": "id:1:s",
  "containerd.services.containers.v1.GetContainerRequest": "id:1:s",
  "containerd.services.containers.v1.GetContainerResponse": "container:1:m:containerd.services.containers.v1.Container",
  "containerd.services.containers.v1.ListContainerMessage": "container:1:m:containerd.services.containers.v1.Container",
  "containerd.services.containers.v1.ListContainersRequest": "filters:1:*s",
  "containerd.services.containers.v1.ListContainersResponse":
    "containers:1:*m:containerd.services.containers.v1.Container",
  "containerd.services.containers.v1.UpdateContainerRequest":
    "container:1:m:containerd.services.containers.v1.Container updateMask:2:m:google.protobuf.FieldMask",
  "containerd.services.containers.v1.UpdateContainerResponse":
    "container:1:m:containerd.services.containers.v1.Container",
  "containerd.services.content.v1.AbortRequest": "ref:1:s",
  "containerd.services.content.v1.DeleteContentRequest": "digest:1:s",
  "containerd.services.content.v1.Info":
    "digest:1:s size:2:I createdAt:3:m:google.protobuf.Timestamp updatedAt:4:m:google.protobuf.Timestamp labels:5:{s",
  "containerd.services.content.v1.InfoRequest": "digest:1:s",
  "containerd.services.content.v1.InfoResponse": "info:1:m:containerd.services.content.v1.Info",
  "containerd.services.content.v1.ListContentRequest": "filters:1:*s",
  "containerd.services.content.v1.ListContentResponse": "info:1:*m:containerd.services.content.v1.Info",
  "containerd.services.content.v1.ListStatusesRequest": "filters:1:*s",
  "containerd.services.content.v1.ListStatusesResponse": "statuses:1:*m:containerd.services.content.v1.Status",
  "containerd.services.content.v1.ReadContentRequest": "digest:1:s offset:2:I size:3:I",
  "containerd.services.content.v1.ReadContentResponse": "offset:1:I data:2:b",
  "containerd.services.content.v1.Status":
    "startedAt:1:m:google.protobuf.Timestamp updatedAt:2:m:google.protobuf.Timestamp ref:3:s offset:4:I total:5:I expected:6:s",
  "containerd.services.content.v1.StatusRequest": "ref:1:s",
  "containerd.services.content.v1.StatusResponse": "status:1:m:containerd.services.content.v1.Status",
  "containerd.services.content.v1.UpdateRequest":
    "info:1:m:containerd.services.content.v1.Info updateMask:2:m:google.protobuf.FieldMask",
  "containerd.services.content.v1.UpdateResponse": "info:1:m:containerd.services.content.v1.Info",
  "containerd.services.content.v1.WriteContentRequest":
    "action:1:i ref:2:s total:3:I expected:4:s offset:5:I data:6:b labels:7:{s",
  "containerd.services.content.v1.WriteContentResponse":
    "action:1:i startedAt:2:m:google.protobuf.Timestamp updatedAt:3:m:google.protobuf.Timestamp offset:4:I total:5:I digest:6:s",
  "containerd.services.diff.v1.ApplyRequest":
    "diff:1:m:containerd.types.Descriptor mounts:2:*m:containerd.types.Mount payloads:3:{m:google.protobuf.Any syncFs:4:o",
  "containerd.services.diff.v1.ApplyResponse": "applied:1:m:containerd.types.Descriptor",
  "containerd.services.diff.v1.DiffRequest":
    "left:1:*m:containerd.types.Mount right:2:*m:containerd.types.Mount mediaType:3:s ref:4:s labels:5:{s sourceDateEpoch:6:m:google.protobuf.Timestamp",
  "containerd.services.diff.v1.DiffResponse": "diff:3:m:containerd.types.Descriptor",
  "containerd.services.events.v1.ForwardRequest": "envelope:1:m:containerd.types.Envelope",
  "containerd.services.events.v1.PublishRequest": "topic:1:s event:2:m:google.protobuf.Any",
  "containerd.services.events.v1.SubscribeRequest": "filters:1:*s",
  "containerd.services.images.v1.CreateImageRequest":
    "image:1:m:containerd.services.images.v1.Image sourceDateEpoch:2:m:google.protobuf.Timestamp",
  "containerd.services.images.v1.CreateImageResponse": "image:1:m:containerd.services.images.v1.Image",
  "containerd.services.images.v1.DeleteImageRequest": "name:1:s sync:2:o target:3:m:containerd.types.Descriptor",
  "containerd.services.images.v1.GetImageRequest": "name:1:s",
  "containerd.services.images.v1.GetImageResponse": "image:1:m:containerd.services.images.v1.Image",
  "containerd.services.images.v1.Image":
    "name:1:s labels:2:{s target:3:m:containerd.types.Descriptor createdAt:7:m:google.protobuf.Timestamp updatedAt:8:m:google.protobuf.Timestamp",
  "containerd.services.images.v1.ImageCreate": "name:1:s labels:2:{s",
  "containerd.services.images.v1.ImageDelete": "name:1:s",
  "containerd.services.images.v1.ImageUpdate": "name:1:s labels:2:{s",
  "containerd.services.images.v1.ListImagesRequest": "filters:1:*s",
  "containerd.services.images.v1.ListImagesResponse": "images:1:*m:containerd.services.images.v1.Image",
  "containerd.services.images.v1.UpdateImageRequest":
    "image:1:m:containerd.services.images.v1.Image updateMask:2:m:google.protobuf.FieldMask sourceDateEpoch:3:m:google.protobuf.Timestamp",
  "containerd.services.images.v1.UpdateImageResponse": "image:1:m:containerd.services.images.v1.Image",
  "containerd.services.introspection.v1.DeprecationWarning":
    "id:1:s message:2:s lastOccurrence:3:m:google.protobuf.Timestamp",
  "containerd.services.introspection.v1.Plugin":
    "type:1:s id:2:s requires:3:*s platforms:4:*m:containerd.types.Platform exports:5:{s capabilities:6:*s initErr:7:m:google.rpc.Status",
  "containerd.services.introspection.v1.PluginInfoRequest": "type:1:s id:2:s options:3:m:google.protobuf.Any",
  "containerd.services.introspection.v1.PluginInfoResponse":
    "plugin:1:m:containerd.services.introspection.v1.Plugin extra:2:m:google.protobuf.Any",
  "containerd.services.introspection.v1.PluginsRequest": "filters:1:*s",
  "containerd.services.introspection.v1.PluginsResponse": "plugins:1:*m:containerd.services.introspection.v1.Plugin",
  "containerd.services.introspection.v1.ServerResponse":
    "uuid:1:s pid:2:U pidns:3:U deprecations:4:*m:containerd.services.introspection.v1.DeprecationWarning",
  "containerd.services.leases.v1.AddResourceRequest": "id:1:s resource:2:m:containerd.services.leases.v1.Resource",
  "containerd.services.leases.v1.CreateRequest": "id:1:s labels:3:{s",
  "containerd.services.leases.v1.CreateResponse": "lease:1:m:containerd.services.leases.v1.Lease",
  "containerd.services.leases.v1.DeleteRequest": "id:1:s sync:2:o",
  "containerd.services.leases.v1.DeleteResourceRequest": "id:1:s resource:2:m:containerd.services.leases.v1.Resource",
  "containerd.services.leases.v1.Lease": "id:1:s createdAt:2:m:google.protobuf.Timestamp labels:3:{s",
  "containerd.services.leases.v1.ListRequest": "filters:1:*s",
  "containerd.services.leases.v1.ListResourcesRequest": "id:1:s",
  "containerd.services.leases.v1.ListResourcesResponse": "resources:1:*m:containerd.services.leases.v1.Resource",
  "containerd.services.leases.v1.ListResponse": "leases:1:*m:containerd.services.leases.v1.Lease",
  "containerd.services.leases.v1.Resource": "id:1:s type:2:s",
  "containerd.services.namespaces.v1.CreateNamespaceRequest":
    "namespace:1:m:containerd.services.namespaces.v1.Namespace",
  "containerd.services.namespaces.v1.CreateNamespaceResponse":
    "namespace:1:m:containerd.services.namespaces.v1.Namespace",
  "containerd.services.namespaces.v1.DeleteNamespaceRequest": "name:1:s",
  "containerd.services.namespaces.v1.GetNamespaceRequest": "name:1:s",
  "containerd.services.namespaces.v1.GetNamespaceResponse": "namespace:1:m:containerd.services.namespaces.v1.Namespace",
  "containerd.services.namespaces.v1.ListNamespacesRequest": "filter:1:s",
  "containerd.services.namespaces.v1.ListNamespacesResponse":
    "namespaces:1:*m:containerd.services.namespaces.v1.Namespace",
  "containerd.services.namespaces.v1.Namespace": "name:1:s labels:2:{s",
  "containerd.services.namespaces.v1.UpdateNamespaceRequest":
    "namespace:1:m:containerd.services.namespaces.v1.Namespace updateMask:2:m:google.protobuf.FieldMask",
  "containerd.services.namespaces.v1.UpdateNamespaceResponse":
    "namespace:1:m:containerd.services.namespaces.v1.Namespace",
  "containerd.services.snapshots.v1.CleanupRequest": "snapshotter:1:s",
  "containerd.services.snapshots.v1.CommitSnapshotRequest": "snapshotter:1:s name:2:s key:3:s labels:4:{s parent:5:s",
  "containerd.services.snapshots.v1.Info":
    "name:1:s parent:2:s kind:3:i createdAt:4:m:google.protobuf.Timestamp updatedAt:5:m:google.protobuf.Timestamp labels:6:{s",
  "containerd.services.snapshots.v1.ListSnapshotsRequest": "snapshotter:1:s filters:2:*s",
  "containerd.services.snapshots.v1.ListSnapshotsResponse": "info:1:*m:containerd.services.snapshots.v1.Info",
  "containerd.services.snapshots.v1.MountsRequest": "snapshotter:1:s key:2:s",
  "containerd.services.snapshots.v1.MountsResponse": "mounts:1:*m:containerd.types.Mount",
  "containerd.services.snapshots.v1.PrepareSnapshotRequest": "snapshotter:1:s key:2:s parent:3:s labels:4:{s",
  "containerd.services.snapshots.v1.PrepareSnapshotResponse": "mounts:1:*m:containerd.types.Mount",
  "containerd.services.snapshots.v1.RemoveSnapshotRequest": "snapshotter:1:s key:2:s",
  "containerd.services.snapshots.v1.StatSnapshotRequest": "snapshotter:1:s key:2:s",
  "containerd.services.snapshots.v1.StatSnapshotResponse": "info:1:m:containerd.services.snapshots.v1.Info",
  "containerd.services.snapshots.v1.UpdateSnapshotRequest":
    "snapshotter:1:s info:2:m:containerd.services.snapshots.v1.Info updateMask:3:m:google.protobuf.FieldMask",
  "containerd.services.snapshots.v1.UpdateSnapshotResponse": "info:1:m:containerd.services.snapshots.v1.Info",
  "containerd.services.snapshots.v1.UsageRequest": "snapshotter:1:s key:2:s",
  "containerd.services.snapshots.v1.UsageResponse": "size:1:I inodes:2:I",
  "containerd.services.snapshots.v1.ViewSnapshotRequest": "snapshotter:1:s key:2:s parent:3:s labels:4:{s",
  "containerd.services.snapshots.v1.ViewSnapshotResponse": "mounts:1:*m:containerd.types.Mount",
  "containerd.services.streaming.v1.StreamInit": "id:1:s",
  "containerd.services.tasks.v1.CheckpointTaskRequest":
    "containerId:1:s parentCheckpoint:2:s options:3:m:google.protobuf.Any",
  "containerd.services.tasks.v1.CheckpointTaskResponse": "descriptors:1:*m:containerd.types.Descriptor",
  "containerd.services.tasks.v1.CloseIORequest": "containerId:1:s execId:2:s stdin:3:o",
  "containerd.services.tasks.v1.CreateTaskRequest":
    "containerId:1:s rootfs:3:*m:containerd.types.Mount stdin:4:s stdout:5:s stderr:6:s terminal:7:o checkpoint:8:m:containerd.types.Descriptor options:9:m:google.protobuf.Any runtimePath:10:s taskApiAddress:11:s taskApiVersion:12:u",
  "containerd.services.tasks.v1.CreateTaskResponse": "containerId:1:s pid:2:u",
  "containerd.services.tasks.v1.DeleteProcessRequest": "containerId:1:s execId:2:s",
  "containerd.services.tasks.v1.DeleteResponse": "id:1:s pid:2:u exitStatus:3:u exitedAt:4:m:google.protobuf.Timestamp",
  "containerd.services.tasks.v1.DeleteTaskRequest": "containerId:1:s",
  "containerd.services.tasks.v1.ExecProcessRequest":
    "containerId:1:s stdin:2:s stdout:3:s stderr:4:s terminal:5:o spec:6:m:google.protobuf.Any execId:7:s",
  "containerd.services.tasks.v1.GetRequest": "containerId:1:s execId:2:s",
  "containerd.services.tasks.v1.GetResponse": "process:1:m:containerd.v1.types.Process",
  "containerd.services.tasks.v1.KillRequest": "containerId:1:s execId:2:s signal:3:u all:4:o",
  "containerd.services.tasks.v1.ListPidsRequest": "containerId:1:s",
  "containerd.services.tasks.v1.ListPidsResponse": "processes:1:*m:containerd.v1.types.ProcessInfo",
  "containerd.services.tasks.v1.ListTasksRequest": "filter:1:s",
  "containerd.services.tasks.v1.ListTasksResponse": "tasks:1:*m:containerd.v1.types.Process",
  "containerd.services.tasks.v1.MetricsRequest": "filters:1:*s",
  "containerd.services.tasks.v1.MetricsResponse": "metrics:1:*m:containerd.types.Metric",
  "containerd.services.tasks.v1.PauseTaskRequest": "containerId:1:s",
  "containerd.services.tasks.v1.ResizePtyRequest": "containerId:1:s execId:2:s width:3:u height:4:u",
  "containerd.services.tasks.v1.ResumeTaskRequest": "containerId:1:s",
  "containerd.services.tasks.v1.StartRequest": "containerId:1:s execId:2:s",
  "containerd.services.tasks.v1.StartResponse": "pid:1:u",
  "containerd.services.tasks.v1.UpdateTaskRequest":
    "containerId:1:s resources:2:m:google.protobuf.Any annotations:3:{s",
  "containerd.services.tasks.v1.WaitRequest": "containerId:1:s execId:2:s",
  "containerd.services.tasks.v1.WaitResponse": "exitStatus:1:u exitedAt:2:m:google.protobuf.Timestamp",
  "containerd.services.transfer.v1.TransferOptions": "progressStream:1:s",
  "containerd.services.transfer.v1.TransferRequest":
    "source:1:m:google.protobuf.Any destination:2:m:google.protobuf.Any options:3:m:containerd.services.transfer.v1.TransferOptions",
  "containerd.services.version.v1.VersionResponse": "version:1:s revision:2:s",
  "containerd.types.Descriptor": "mediaType:1:s digest:2:s size:3:I annotations:5:{s",
  "containerd.types.Envelope":
    "timestamp:1:m:google.protobuf.Timestamp namespace:2:s topic:3:s event:4:m:google.protobuf.Any",
  "containerd.types.Metric": "timestamp:1:m:google.protobuf.Timestamp id:2:s data:3:m:google.protobuf.Any",
  "containerd.types.Mount": "type:1:s source:2:s target:3:s options:4:*s",
  "containerd.types.Platform": "os:1:s architecture:2:s variant:3:s osVersion:4:s osFeatures:5:*s",
  "containerd.types.transfer.AuthRequest": "host:1:s reference:2:s wwwauthenticate:3:*s",
  "containerd.types.transfer.AuthResponse":
    "authType:1:i secret:2:s username:3:s expireAt:4:m:google.protobuf.Timestamp",
  "containerd.types.transfer.ContainerPath": "containerId:1:s path:2:s noWalk:3:o preserveOwnership:4:o",
  "containerd.types.transfer.Data": "data:1:b",
  "containerd.types.transfer.ImageReference":
    "name:1:s isPrefix:2:o allowOverwrite:3:o addDigest:4:o skipNamedDigest:5:o",
  "containerd.types.transfer.ImageStore":
    "name:1:s labels:2:{s platforms:3:*m:containerd.types.Platform allMetadata:4:o manifestLimit:5:u extraReferences:6:*m:containerd.types.transfer.ImageReference unpacks:10:*m:containerd.types.transfer.UnpackConfiguration",
  "containerd.types.transfer.OCIRegistry": "reference:1:s resolver:2:m:containerd.types.transfer.RegistryResolver",
  "containerd.types.transfer.Progress":
    "event:1:s name:2:s parents:3:*s progress:4:I total:5:I desc:6:m:containerd.types.Descriptor",
  "containerd.types.transfer.ReadStream": "stream:1:s mediaType:2:s",
  "containerd.types.transfer.RegistryResolver":
    "authStream:1:s headers:2:{s hostDir:3:s defaultScheme:4:s httpDebug:5:i logsStream:6:s",
  "containerd.types.transfer.UnpackConfiguration": "platform:1:m:containerd.types.Platform snapshotter:2:s",
  "containerd.types.transfer.WindowUpdate": "update:1:i",
  "containerd.types.transfer.WriteStream": "stream:1:s mediaType:2:s",
  "containerd.v1.types.Process":
    "containerId:1:s id:2:s pid:3:u status:4:i stdin:5:s stdout:6:s stderr:7:s terminal:8:o exitStatus:9:u exitedAt:10:m:google.protobuf.Timestamp",
  "containerd.v1.types.ProcessInfo": "pid:1:u info:2:m:google.protobuf.Any",
  "google.protobuf.Any": "typeUrl:1:s value:2:b",
  "google.protobuf.Duration": "seconds:1:I nanos:2:i",
  "google.protobuf.Empty": "",
  "google.protobuf.FieldMask": "paths:1:*s",
  "google.protobuf.Timestamp": "seconds:1:I nanos:2:i",
  "google.rpc.Status": "code:1:i message:2:s details:3:*m:google.protobuf.Any",
  "io.containerd.cgroups.v1.BlkIOEntry": "op:1:s device:2:s major:3:U minor:4:U value:5:U",
  "io.containerd.cgroups.v1.BlkIOStat":
    "ioServiceBytesRecursive:1:*m:io.containerd.cgroups.v1.BlkIOEntry ioServicedRecursive:2:*m:io.containerd.cgroups.v1.BlkIOEntry ioQueuedRecursive:3:*m:io.containerd.cgroups.v1.BlkIOEntry ioServiceTimeRecursive:4:*m:io.containerd.cgroups.v1.BlkIOEntry ioWaitTimeRecursive:5:*m:io.containerd.cgroups.v1.BlkIOEntry ioMergedRecursive:6:*m:io.containerd.cgroups.v1.BlkIOEntry ioTimeRecursive:7:*m:io.containerd.cgroups.v1.BlkIOEntry sectorsRecursive:8:*m:io.containerd.cgroups.v1.BlkIOEntry",
  "io.containerd.cgroups.v1.CPUStat":
    "usage:1:m:io.containerd.cgroups.v1.CPUUsage throttling:2:m:io.containerd.cgroups.v1.Throttle",
  "io.containerd.cgroups.v1.CPUUsage": "total:1:U kernel:2:U user:3:U perCpu:4:*U",
  "io.containerd.cgroups.v1.CgroupStats":
    "nrSleeping:1:U nrRunning:2:U nrStopped:3:U nrUninterruptible:4:U nrIoWait:5:U",
  "io.containerd.cgroups.v1.HugetlbStat": "usage:1:U max:2:U failcnt:3:U pagesize:4:s",
  "io.containerd.cgroups.v1.MemoryEntry": "limit:1:U usage:2:U max:3:U failcnt:4:U",
  "io.containerd.cgroups.v1.MemoryOomControl": "oomKillDisable:1:U underOom:2:U oomKill:3:U",
  "io.containerd.cgroups.v1.MemoryStat":
    "cache:1:U rss:2:U rssHuge:3:U mappedFile:4:U dirty:5:U writeback:6:U pgPgIn:7:U pgPgOut:8:U pgFault:9:U pgMajFault:10:U inactiveAnon:11:U activeAnon:12:U inactiveFile:13:U activeFile:14:U unevictable:15:U hierarchicalMemoryLimit:16:U hierarchicalSwapLimit:17:U totalCache:18:U totalRss:19:U totalRssHuge:20:U totalMappedFile:21:U totalDirty:22:U totalWriteback:23:U totalPgPgIn:24:U totalPgPgOut:25:U totalPgFault:26:U totalPgMajFault:27:U totalInactiveAnon:28:U totalActiveAnon:29:U totalInactiveFile:30:U totalActiveFile:31:U totalUnevictable:32:U usage:33:m:io.containerd.cgroups.v1.MemoryEntry swap:34:m:io.containerd.cgroups.v1.MemoryEntry kernel:35:m:io.containerd.cgroups.v1.MemoryEntry kernelTcp:36:m:io.containerd.cgroups.v1.MemoryEntry",
  "io.containerd.cgroups.v1.Metrics":
    "hugetlb:1:*m:io.containerd.cgroups.v1.HugetlbStat pids:2:m:io.containerd.cgroups.v1.PidsStat cpu:3:m:io.containerd.cgroups.v1.CPUStat memory:4:m:io.containerd.cgroups.v1.MemoryStat blkio:5:m:io.containerd.cgroups.v1.BlkIOStat rdma:6:m:io.containerd.cgroups.v1.RdmaStat network:7:*m:io.containerd.cgroups.v1.NetworkStat cgroupStats:8:m:io.containerd.cgroups.v1.CgroupStats memoryOomControl:9:m:io.containerd.cgroups.v1.MemoryOomControl",
  "io.containerd.cgroups.v1.NetworkStat":
    "name:1:s rxBytes:2:U rxPackets:3:U rxErrors:4:U rxDropped:5:U txBytes:6:U txPackets:7:U txErrors:8:U txDropped:9:U",
  "io.containerd.cgroups.v1.PidsStat": "current:1:U limit:2:U",
  "io.containerd.cgroups.v1.RdmaEntry": "device:1:s hcaHandles:2:u hcaObjects:3:u",
  "io.containerd.cgroups.v1.RdmaStat":
    "current:1:*m:io.containerd.cgroups.v1.RdmaEntry limit:2:*m:io.containerd.cgroups.v1.RdmaEntry",
  "io.containerd.cgroups.v1.Throttle": "periods:1:U throttledPeriods:2:U throttledTime:3:U",
  "io.containerd.cgroups.v2.CPUStat":
    "usageUsec:1:U userUsec:2:U systemUsec:3:U nrPeriods:4:U nrThrottled:5:U throttledUsec:6:U psi:7:m:io.containerd.cgroups.v2.PSIStats nrBursts:8:U burstUsec:9:U",
  "io.containerd.cgroups.v2.HugeTlbStat": "current:1:U max:2:U pagesize:3:s failcnt:4:U",
  "io.containerd.cgroups.v2.IOEntry": "major:1:U minor:2:U rbytes:3:U wbytes:4:U rios:5:U wios:6:U",
  "io.containerd.cgroups.v2.IOStat":
    "usage:1:*m:io.containerd.cgroups.v2.IOEntry psi:2:m:io.containerd.cgroups.v2.PSIStats",
  "io.containerd.cgroups.v2.MemoryEvents": "low:1:U high:2:U max:3:U oom:4:U oomKill:5:U oomGroupKill:6:U",
  "io.containerd.cgroups.v2.MemoryStat":
    "anon:1:U file:2:U kernelStack:3:U slab:4:U sock:5:U shmem:6:U fileMapped:7:U fileDirty:8:U fileWriteback:9:U anonThp:10:U inactiveAnon:11:U activeAnon:12:U inactiveFile:13:U activeFile:14:U unevictable:15:U slabReclaimable:16:U slabUnreclaimable:17:U pgfault:18:U pgmajfault:19:U workingsetRefault:20:U workingsetActivate:21:U workingsetNodereclaim:22:U pgrefill:23:U pgscan:24:U pgsteal:25:U pgactivate:26:U pgdeactivate:27:U pglazyfree:28:U pglazyfreed:29:U thpFaultAlloc:30:U thpCollapseAlloc:31:U usage:32:U usageLimit:33:U swapUsage:34:U swapLimit:35:U maxUsage:36:U swapMaxUsage:37:U psi:38:m:io.containerd.cgroups.v2.PSIStats",
  "io.containerd.cgroups.v2.Metrics":
    "pids:1:m:io.containerd.cgroups.v2.PidsStat cpu:2:m:io.containerd.cgroups.v2.CPUStat memory:4:m:io.containerd.cgroups.v2.MemoryStat rdma:5:m:io.containerd.cgroups.v2.RdmaStat io:6:m:io.containerd.cgroups.v2.IOStat hugetlb:7:*m:io.containerd.cgroups.v2.HugeTlbStat memoryEvents:8:m:io.containerd.cgroups.v2.MemoryEvents network:9:*m:io.containerd.cgroups.v2.NetworkStat",
  "io.containerd.cgroups.v2.NetworkStat":
    "name:1:s rxBytes:2:U rxPackets:3:U rxErrors:4:U rxDropped:5:U txBytes:6:U txPackets:7:U txErrors:8:U txDropped:9:U",
  "io.containerd.cgroups.v2.PSIData": "avg10:1:d avg60:2:d avg300:3:d total:4:U",
  "io.containerd.cgroups.v2.PSIStats":
    "some:1:m:io.containerd.cgroups.v2.PSIData full:2:m:io.containerd.cgroups.v2.PSIData",
  "io.containerd.cgroups.v2.PidsStat": "current:1:U limit:2:U",
  "io.containerd.cgroups.v2.RdmaEntry": "device:1:s hcaHandles:2:u hcaObjects:3:u",
  "io.containerd.cgroups.v2.RdmaStat":
    "current:1:*m:io.containerd.cgroups.v2.RdmaEntry limit:2:*m:io.containerd.cgroups.v2.RdmaEntry",
  "lighter.checkpoints.v1.Checkpoint":
    "containerId:1:s name:2:s createdAt:3:m:google.protobuf.Timestamp exit:4:o terminal:5:o openTcp:6:o externalUnixSockets:7:o fileLocks:8:o emptyNamespaces:9:*s target:10:m:containerd.types.Descriptor sizeBytes:11:U",
  "lighter.checkpoints.v1.CreateCheckpointRequest": "checkpoint:1:m:lighter.checkpoints.v1.Checkpoint",
  "lighter.checkpoints.v1.CreateCheckpointResponse": "checkpoint:1:m:lighter.checkpoints.v1.Checkpoint",
  "lighter.checkpoints.v1.DeleteCheckpointRequest": "containerId:1:s name:2:s",
  "lighter.checkpoints.v1.GetCheckpointRequest": "containerId:1:s name:2:s",
  "lighter.checkpoints.v1.GetCheckpointResponse": "checkpoint:1:m:lighter.checkpoints.v1.Checkpoint",
  "lighter.checkpoints.v1.ListCheckpointsRequest": "containerId:1:s",
  "lighter.checkpoints.v1.ListCheckpointsResponse": "checkpoints:1:*m:lighter.checkpoints.v1.Checkpoint",
  "lighter.debug.v1.CallsRequest": "",
  "lighter.debug.v1.CallsResponse": "calls:1:*m:lighter.debug.v1.CallsResponse.Call",
  "lighter.debug.v1.CallsResponse.Call":
    "method:1:s namespace:2:s ageSeconds:3:d leftSeconds:4:d step:5:s peer:6:s traceId:7:s",
  "lighter.debug.v1.HandlesRequest": "",
  "lighter.debug.v1.HandlesResponse":
    "pid:1:u uptimeSeconds:2:d residentBytes:3:U heapBytes:4:U heapObjects:5:U descriptors:6:*m:lighter.debug.v1.HandlesResponse.Descriptor children:7:*m:lighter.debug.v1.HandlesResponse.Process tasks:8:*m:lighter.debug.v1.HandlesResponse.Task",
  "lighter.debug.v1.HandlesResponse.Descriptor": "fd:1:u target:2:s",
  "lighter.debug.v1.HandlesResponse.Process": "pid:1:u name:2:s",
  "lighter.debug.v1.HandlesResponse.Task": "namespace:1:s id:2:s pid:3:u state:4:s",
  "lighter.debug.v1.HeapRequest": "",
  "lighter.debug.v1.Piece": "data:1:b",
  "lighter.debug.v1.ProfileRequest": "seconds:1:d",
  "lighter.events.v1.Event": "sequence:1:U envelope:2:m:containerd.types.Envelope",
  "lighter.events.v1.ReadRequest":
    "since:1:m:google.protobuf.Timestamp until:2:m:google.protobuf.Timestamp afterSequence:3:U filters:4:*s follow:5:o",
  "lighter.health.v1.GetRequest": "containerId:1:s",
  "lighter.health.v1.GetResponse": "status:1:s failingStreak:2:u probes:3:*m:lighter.health.v1.Probe",
  "lighter.health.v1.HealthChanged": "containerId:1:s status:2:s failingStreak:3:u exitCode:4:i output:5:s",
  "lighter.health.v1.Probe":
    "startedAt:1:m:google.protobuf.Timestamp endedAt:2:m:google.protobuf.Timestamp exitCode:3:i output:4:s",
  "lighter.layers.v1.RepackRequest": "layer:1:m:containerd.types.Descriptor mediaType:2:s diffId:3:s",
  "lighter.layers.v1.RepackResponse": "offset:1:U layer:2:m:containerd.types.Descriptor",
  "lighter.registries.v1.ReferrersRequest": "registry:1:m:google.protobuf.Any artifactTypes:2:*s",
  "lighter.registries.v1.ReferrersResponse":
    "subject:1:m:containerd.types.Descriptor referrers:2:*m:lighter.registries.v1.ReferrersResponse.Referrer",
  "lighter.registries.v1.ReferrersResponse.Referrer": "descriptor:1:m:containerd.types.Descriptor artifactType:2:s",
  "lighter.system.v1.CheckRequest": "deep:1:o",
  "lighter.system.v1.CheckResponse":
    "problems:1:*m:lighter.system.v1.CheckResponse.Problem problemCount:2:U blobs:3:U ingests:4:U snapshots:5:U",
  "lighter.system.v1.CheckResponse.Problem":
    "code:1:s broken:2:o object:3:m:lighter.system.v1.Object path:4:s message:5:s",
  "lighter.system.v1.CollectGarbageRequest": "",
  "lighter.system.v1.CollectGarbageResponse":
    "alive:1:U removed:2:*m:lighter.system.v1.CollectGarbageResponse.Removed elapsed:3:m:google.protobuf.Duration busy:4:m:google.protobuf.Duration longestPause:5:m:google.protobuf.Duration",
  "lighter.system.v1.CollectGarbageResponse.Removed": "kind:1:s objects:2:U",
  "lighter.system.v1.DiskUsageRequest": "",
  "lighter.system.v1.DiskUsageResponse":
    "kinds:1:*m:lighter.system.v1.DiskUsageResponse.Kind unusedObjects:2:U unusedSize:3:U holders:4:*m:lighter.system.v1.DiskUsageResponse.Holder",
  "lighter.system.v1.DiskUsageResponse.Holder":
    "object:1:m:lighter.system.v1.Object objects:2:U size:3:U uniqueSize:4:U",
  "lighter.system.v1.DiskUsageResponse.Kind": "kind:1:s objects:2:U size:3:U",
  "lighter.system.v1.ExplainRequest": "name:1:s kind:2:s",
  "lighter.system.v1.ExplainResponse": "explanations:1:*m:lighter.system.v1.ExplainResponse.Explanation",
  "lighter.system.v1.ExplainResponse.Explanation":
    "object:1:m:lighter.system.v1.Object path:2:*m:lighter.system.v1.ExplainResponse.Link",
  "lighter.system.v1.ExplainResponse.Link": "object:1:m:lighter.system.v1.Object how:2:s",
  "lighter.system.v1.Object": "kind:1:s namespace:2:s key:3:s",
  "lighter.system.v1.UnpackRequest":
    "config:1:m:containerd.types.Descriptor layers:2:*m:containerd.types.Descriptor snapshotter:3:s",
  "lighter.system.v1.UnpackResponse": "layer:1:s offset:2:U done:3:o",
  "lighter.system.v1.UpgradeRequest": "path:1:s",
  "lighter.system.v1.UpgradeResponse": "pid:1:u",
  "lighter.system.v1.UpgradeStateRequest": "",
  "lighter.system.v1.UpgradeStateResponse": "pid:1:u version:2:s underWay:3:o failure:4:s",
};

/** Every method that the client calls: local name, then `Name kind request response`. */
export const serviceTable: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "lighter.checkpoints.v1.Checkpoints": {
    create: "Create u lighter.checkpoints.v1.CreateCheckpointRequest lighter.checkpoints.v1.CreateCheckpointResponse",
    get: "Get u lighter.checkpoints.v1.GetCheckpointRequest lighter.checkpoints.v1.GetCheckpointResponse",
    list: "List u lighter.checkpoints.v1.ListCheckpointsRequest lighter.checkpoints.v1.ListCheckpointsResponse",
    delete: "Delete u lighter.checkpoints.v1.DeleteCheckpointRequest google.protobuf.Empty",
  },
  "lighter.health.v1.ContainerHealth": {
    get: "Get u lighter.health.v1.GetRequest lighter.health.v1.GetResponse",
  },
  "containerd.services.containers.v1.Containers": {
    get: "Get u containerd.services.containers.v1.GetContainerRequest containerd.services.containers.v1.GetContainerResponse",
    list: "List u containerd.services.containers.v1.ListContainersRequest containerd.services.containers.v1.ListContainersResponse",
    listStream:
      "ListStream s containerd.services.containers.v1.ListContainersRequest containerd.services.containers.v1.ListContainerMessage",
    create:
      "Create u containerd.services.containers.v1.CreateContainerRequest containerd.services.containers.v1.CreateContainerResponse",
    update:
      "Update u containerd.services.containers.v1.UpdateContainerRequest containerd.services.containers.v1.UpdateContainerResponse",
    delete: "Delete u containerd.services.containers.v1.DeleteContainerRequest google.protobuf.Empty",
  },
  "containerd.services.content.v1.Content": {
    info: "Info u containerd.services.content.v1.InfoRequest containerd.services.content.v1.InfoResponse",
    update: "Update u containerd.services.content.v1.UpdateRequest containerd.services.content.v1.UpdateResponse",
    list: "List s containerd.services.content.v1.ListContentRequest containerd.services.content.v1.ListContentResponse",
    delete: "Delete u containerd.services.content.v1.DeleteContentRequest google.protobuf.Empty",
    read: "Read s containerd.services.content.v1.ReadContentRequest containerd.services.content.v1.ReadContentResponse",
    status: "Status u containerd.services.content.v1.StatusRequest containerd.services.content.v1.StatusResponse",
    listStatuses:
      "ListStatuses u containerd.services.content.v1.ListStatusesRequest containerd.services.content.v1.ListStatusesResponse",
    write:
      "Write b containerd.services.content.v1.WriteContentRequest containerd.services.content.v1.WriteContentResponse",
    abort: "Abort u containerd.services.content.v1.AbortRequest google.protobuf.Empty",
  },
  "lighter.debug.v1.Debug": {
    calls: "Calls u lighter.debug.v1.CallsRequest lighter.debug.v1.CallsResponse",
    handles: "Handles u lighter.debug.v1.HandlesRequest lighter.debug.v1.HandlesResponse",
    heap: "Heap s lighter.debug.v1.HeapRequest lighter.debug.v1.Piece",
    profile: "Profile s lighter.debug.v1.ProfileRequest lighter.debug.v1.Piece",
  },
  "containerd.services.diff.v1.Diff": {
    apply: "Apply u containerd.services.diff.v1.ApplyRequest containerd.services.diff.v1.ApplyResponse",
    diff: "Diff u containerd.services.diff.v1.DiffRequest containerd.services.diff.v1.DiffResponse",
  },
  "containerd.services.events.v1.Events": {
    publish: "Publish u containerd.services.events.v1.PublishRequest google.protobuf.Empty",
    forward: "Forward u containerd.services.events.v1.ForwardRequest google.protobuf.Empty",
    subscribe: "Subscribe s containerd.services.events.v1.SubscribeRequest containerd.types.Envelope",
  },
  "lighter.events.v1.History": {
    read: "Read s lighter.events.v1.ReadRequest lighter.events.v1.Event",
  },
  "containerd.services.images.v1.Images": {
    get: "Get u containerd.services.images.v1.GetImageRequest containerd.services.images.v1.GetImageResponse",
    list: "List u containerd.services.images.v1.ListImagesRequest containerd.services.images.v1.ListImagesResponse",
    create:
      "Create u containerd.services.images.v1.CreateImageRequest containerd.services.images.v1.CreateImageResponse",
    update:
      "Update u containerd.services.images.v1.UpdateImageRequest containerd.services.images.v1.UpdateImageResponse",
    delete: "Delete u containerd.services.images.v1.DeleteImageRequest google.protobuf.Empty",
  },
  "containerd.services.introspection.v1.Introspection": {
    plugins:
      "Plugins u containerd.services.introspection.v1.PluginsRequest containerd.services.introspection.v1.PluginsResponse",
    server: "Server u google.protobuf.Empty containerd.services.introspection.v1.ServerResponse",
    pluginInfo:
      "PluginInfo u containerd.services.introspection.v1.PluginInfoRequest containerd.services.introspection.v1.PluginInfoResponse",
  },
  "lighter.layers.v1.Layers": {
    repack: "Repack s lighter.layers.v1.RepackRequest lighter.layers.v1.RepackResponse",
  },
  "containerd.services.leases.v1.Leases": {
    create: "Create u containerd.services.leases.v1.CreateRequest containerd.services.leases.v1.CreateResponse",
    delete: "Delete u containerd.services.leases.v1.DeleteRequest google.protobuf.Empty",
    list: "List u containerd.services.leases.v1.ListRequest containerd.services.leases.v1.ListResponse",
    addResource: "AddResource u containerd.services.leases.v1.AddResourceRequest google.protobuf.Empty",
    deleteResource: "DeleteResource u containerd.services.leases.v1.DeleteResourceRequest google.protobuf.Empty",
    listResources:
      "ListResources u containerd.services.leases.v1.ListResourcesRequest containerd.services.leases.v1.ListResourcesResponse",
  },
  "containerd.services.namespaces.v1.Namespaces": {
    get: "Get u containerd.services.namespaces.v1.GetNamespaceRequest containerd.services.namespaces.v1.GetNamespaceResponse",
    list: "List u containerd.services.namespaces.v1.ListNamespacesRequest containerd.services.namespaces.v1.ListNamespacesResponse",
    create:
      "Create u containerd.services.namespaces.v1.CreateNamespaceRequest containerd.services.namespaces.v1.CreateNamespaceResponse",
    update:
      "Update u containerd.services.namespaces.v1.UpdateNamespaceRequest containerd.services.namespaces.v1.UpdateNamespaceResponse",
    delete: "Delete u containerd.services.namespaces.v1.DeleteNamespaceRequest google.protobuf.Empty",
  },
  "containerd.services.snapshots.v1.Snapshots": {
    prepare:
      "Prepare u containerd.services.snapshots.v1.PrepareSnapshotRequest containerd.services.snapshots.v1.PrepareSnapshotResponse",
    view: "View u containerd.services.snapshots.v1.ViewSnapshotRequest containerd.services.snapshots.v1.ViewSnapshotResponse",
    mounts: "Mounts u containerd.services.snapshots.v1.MountsRequest containerd.services.snapshots.v1.MountsResponse",
    commit: "Commit u containerd.services.snapshots.v1.CommitSnapshotRequest google.protobuf.Empty",
    remove: "Remove u containerd.services.snapshots.v1.RemoveSnapshotRequest google.protobuf.Empty",
    stat: "Stat u containerd.services.snapshots.v1.StatSnapshotRequest containerd.services.snapshots.v1.StatSnapshotResponse",
    update:
      "Update u containerd.services.snapshots.v1.UpdateSnapshotRequest containerd.services.snapshots.v1.UpdateSnapshotResponse",
    list: "List s containerd.services.snapshots.v1.ListSnapshotsRequest containerd.services.snapshots.v1.ListSnapshotsResponse",
    usage: "Usage u containerd.services.snapshots.v1.UsageRequest containerd.services.snapshots.v1.UsageResponse",
    cleanup: "Cleanup u containerd.services.snapshots.v1.CleanupRequest google.protobuf.Empty",
  },
  "containerd.services.streaming.v1.Streaming": {
    stream: "Stream b google.protobuf.Any google.protobuf.Any",
  },
  "lighter.registries.v1.Registries": {
    referrers: "Referrers u lighter.registries.v1.ReferrersRequest lighter.registries.v1.ReferrersResponse",
  },
  "lighter.system.v1.System": {
    collectGarbage: "CollectGarbage u lighter.system.v1.CollectGarbageRequest lighter.system.v1.CollectGarbageResponse",
    explain: "Explain u lighter.system.v1.ExplainRequest lighter.system.v1.ExplainResponse",
    diskUsage: "DiskUsage u lighter.system.v1.DiskUsageRequest lighter.system.v1.DiskUsageResponse",
    check: "Check u lighter.system.v1.CheckRequest lighter.system.v1.CheckResponse",
    unpack: "Unpack s lighter.system.v1.UnpackRequest lighter.system.v1.UnpackResponse",
    upgrade: "Upgrade u lighter.system.v1.UpgradeRequest lighter.system.v1.UpgradeResponse",
    upgradeState: "UpgradeState u lighter.system.v1.UpgradeStateRequest lighter.system.v1.UpgradeStateResponse",
  },
  "containerd.services.tasks.v1.Tasks": {
    create: "Create u containerd.services.tasks.v1.CreateTaskRequest containerd.services.tasks.v1.CreateTaskResponse",
    start: "Start u containerd.services.tasks.v1.StartRequest containerd.services.tasks.v1.StartResponse",
    delete: "Delete u containerd.services.tasks.v1.DeleteTaskRequest containerd.services.tasks.v1.DeleteResponse",
    deleteProcess:
      "DeleteProcess u containerd.services.tasks.v1.DeleteProcessRequest containerd.services.tasks.v1.DeleteResponse",
    get: "Get u containerd.services.tasks.v1.GetRequest containerd.services.tasks.v1.GetResponse",
    list: "List u containerd.services.tasks.v1.ListTasksRequest containerd.services.tasks.v1.ListTasksResponse",
    kill: "Kill u containerd.services.tasks.v1.KillRequest google.protobuf.Empty",
    exec: "Exec u containerd.services.tasks.v1.ExecProcessRequest google.protobuf.Empty",
    resizePty: "ResizePty u containerd.services.tasks.v1.ResizePtyRequest google.protobuf.Empty",
    closeIO: "CloseIO u containerd.services.tasks.v1.CloseIORequest google.protobuf.Empty",
    pause: "Pause u containerd.services.tasks.v1.PauseTaskRequest google.protobuf.Empty",
    resume: "Resume u containerd.services.tasks.v1.ResumeTaskRequest google.protobuf.Empty",
    listPids: "ListPids u containerd.services.tasks.v1.ListPidsRequest containerd.services.tasks.v1.ListPidsResponse",
    checkpoint:
      "Checkpoint u containerd.services.tasks.v1.CheckpointTaskRequest containerd.services.tasks.v1.CheckpointTaskResponse",
    update: "Update u containerd.services.tasks.v1.UpdateTaskRequest google.protobuf.Empty",
    metrics: "Metrics u containerd.services.tasks.v1.MetricsRequest containerd.services.tasks.v1.MetricsResponse",
    wait: "Wait u containerd.services.tasks.v1.WaitRequest containerd.services.tasks.v1.WaitResponse",
  },
  "containerd.services.transfer.v1.Transfer": {
    transfer: "Transfer u containerd.services.transfer.v1.TransferRequest google.protobuf.Empty",
  },
  "containerd.services.version.v1.Version": {
    version: "Version u google.protobuf.Empty containerd.services.version.v1.VersionResponse",
  },
};
