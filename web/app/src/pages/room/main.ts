import { mount } from "svelte";
import { prepare } from "../../lib/start.ts";
import RoomPage from "./RoomPage.svelte";

mount(RoomPage, { target: await prepare(), props: { mode: "room" } });
