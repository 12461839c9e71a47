import { mount } from "svelte";
import { prepare } from "../../lib/start.ts";
import RoomPage from "../room/RoomPage.svelte";

mount(RoomPage, { target: await prepare(), props: { mode: "call" } });
