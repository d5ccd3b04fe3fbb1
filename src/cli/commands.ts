import type { CommandEntry } from "./command.ts";
import { storeCommands } from "./store-commands.ts";

/** Every command by the words that call it. Their files are loaded when they are called and not before. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  run: { summary: "Run a command in a new container", group: "containers", load: () => import("./commands/run.ts") },
  exec: {
    summary: "Run a command in a running container",
    group: "containers",
    load: () => import("./commands/exec.ts"),
  },
  create: {
    summary: "Make a container and don't start it",
    group: "containers",
    load: () => import("./commands/create.ts"),
  },
  ps: { summary: "List containers", group: "containers", load: () => import("./commands/ps.ts") },
  logs: {
    summary: "Show what a container printed",
    group: "containers",
    load: () => import("./commands/logs.ts"),
  },
  attach: {
    summary: "Connect this terminal to a running container",
    group: "containers",
    load: () => import("./commands/attach.ts"),
  },
  start: {
    summary: "Start a stopped container again, or from a checkpoint",
    group: "containers",
    load: () => import("./commands/start.ts"),
  },
  stop: { summary: "Stop containers, politely first", group: "containers", load: () => import("./commands/stop.ts") },
  restart: {
    summary: "Stop containers and start them again",
    group: "containers",
    load: () => import("./commands/restart.ts"),
  },
  update: {
    summary: "Change when containers are restarted",
    group: "containers",
    load: () => import("./commands/update.ts"),
  },
  kill: { summary: "Send a signal to containers", group: "containers", load: () => import("./commands/kill.ts") },
  wait: {
    summary: "Wait until containers end and print their exit codes",
    group: "containers",
    load: () => import("./commands/wait.ts"),
  },
  rm: { summary: "Remove containers", group: "containers", load: () => import("./commands/rm.ts") },
  cp: {
    summary: "Copy files into a container, or out of it",
    group: "containers",
    load: () => import("./commands/cp.ts"),
  },
  pause: {
    summary: "Freeze all processes of containers",
    group: "containers",
    load: () => import("./commands/pause.ts"),
  },
  resume: { summary: "Let paused containers go on", group: "containers", load: () => import("./commands/resume.ts") },
  unpause: {
    summary: "Let paused containers go on",
    group: "containers",
    aliasOf: "resume",
    load: () => import("./commands/resume.ts"),
  },
  inspect: {
    summary: "Show all that is known of a container",
    group: "containers",
    load: () => import("./commands/inspect.ts"),
  },
  stats: {
    summary: "Live table of what containers use",
    group: "containers",
    load: () => import("./commands/stats.ts"),
  },
  top: { summary: "List the processes of a container", group: "containers", load: () => import("./commands/top.ts") },
  "checkpoint create": {
    summary: "Save a running container's state under a name",
    group: "containers",
    load: () => import("./commands/checkpoint-create.ts"),
  },
  "checkpoint ls": {
    summary: "List checkpoints",
    group: "containers",
    load: () => import("./commands/checkpoint-ls.ts"),
  },
  "checkpoint rm": {
    summary: "Remove checkpoints of a container",
    group: "containers",
    load: () => import("./commands/checkpoint-rm.ts"),
  },
  pull: { summary: "Pull images from a registry", group: "images", load: () => import("./commands/pull.ts") },
  "image pull": {
    summary: "Pull images from a registry",
    group: "images",
    aliasOf: "pull",
    load: () => import("./commands/pull.ts"),
  },
  push: { summary: "Push an image to a registry", group: "images", load: () => import("./commands/push.ts") },
  "image push": {
    summary: "Push an image to a registry",
    group: "images",
    aliasOf: "push",
    load: () => import("./commands/push.ts"),
  },
  login: { summary: "Log in to a registry", group: "images", load: () => import("./commands/login.ts") },
  logout: {
    summary: "Forget a registry's name and password",
    group: "images",
    load: () => import("./commands/logout.ts"),
  },
  "image ls": { summary: "List images", group: "images", load: () => import("./commands/image-ls.ts") },
  images: {
    summary: "List images",
    group: "images",
    aliasOf: "image ls",
    load: () => import("./commands/image-ls.ts"),
  },
  "image import": {
    summary: "Import images from a docker or OCI archive",
    group: "images",
    load: () => import("./commands/image-import.ts"),
  },
  "image load": {
    summary: "Import images from a docker or OCI archive",
    group: "images",
    aliasOf: "image import",
    load: () => import("./commands/image-import.ts"),
  },
  "image from-rootfs": {
    summary: "Make an image of a folder or a tar file",
    group: "images",
    load: () => import("./commands/image-from-rootfs.ts"),
  },
  "image inspect": {
    summary: "Show all that is known of an image",
    group: "images",
    load: () => import("./commands/image-inspect.ts"),
  },
  "image tag": {
    summary: "Give an image another name",
    group: "images",
    load: () => import("./commands/image-tag.ts"),
  },
  "image rm": { summary: "Remove images", group: "images", load: () => import("./commands/image-rm.ts") },
  tag: {
    summary: "Give an image another name",
    group: "images",
    aliasOf: "image tag",
    load: () => import("./commands/image-tag.ts"),
  },
  load: {
    summary: "Import images from a docker or OCI archive",
    group: "images",
    aliasOf: "image import",
    load: () => import("./commands/image-import.ts"),
  },
  save: {
    summary: "Write images into an archive",
    group: "images",
    aliasOf: "image export",
    load: () => import("./commands/image-export.ts"),
  },
  rmi: { summary: "Remove images", group: "images", aliasOf: "image rm", load: () => import("./commands/image-rm.ts") },
  ...storeCommands,
  "ns ls": { summary: "List namespaces", group: "system", load: () => import("./commands/ns-ls.ts") },
  "ns create": { summary: "Create a namespace", group: "system", load: () => import("./commands/ns-create.ts") },
  "ns rm": { summary: "Remove empty namespaces", group: "system", load: () => import("./commands/ns-rm.ts") },
  events: { summary: "Print what happens, as it happens", group: "system", load: () => import("./commands/events.ts") },
  doctor: {
    summary: "Check this machine and the daemon, and say what to do",
    group: "system",
    load: () => import("./commands/doctor.ts"),
  },
  info: {
    summary: "Check this machine and the daemon, and say what to do",
    group: "system",
    aliasOf: "doctor",
    load: () => import("./commands/doctor.ts"),
  },
  handback: {
    summary: "Say what a containerd would not find, were it started on this root again",
    group: "system",
    load: () => import("./commands/handback.ts"),
  },
  install: {
    summary: "Install lighter on this machine: shows what it would do, and asks",
    group: "system",
    load: () => import("./commands/install.ts"),
  },
  uninstall: {
    summary: "Remove what lighter install wrote",
    group: "system",
    load: () => import("./commands/uninstall.ts"),
  },
  version: {
    summary: "Show the versions of lighter and the daemon",
    group: "system",
    load: () => import("./commands/version.ts"),
  },
  completion: {
    summary: "Print a completion script for bash, zsh or fish",
    group: "system",
    load: () => import("./commands/completion.ts"),
  },
  help: { summary: "Show help for a command", group: "system", load: () => import("./commands/help.ts") },
};

/** Names of groups that have commands of their own. */
export const groupNames: readonly string[] = [
  "checkpoint",
  "image",
  "content",
  "snapshot",
  "lease",
  "ns",
  "system",
  "debug",
];

/** Other words for groups and the commands in them. */
export const otherWords: Readonly<Record<string, string>> = {
  namespace: "ns",
  namespaces: "ns",
  snapshots: "snapshot",
  leases: "lease",
  umount: "unmount",
  list: "ls",
  remove: "rm",
  delete: "rm",
};
