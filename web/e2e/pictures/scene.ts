// Drawn people for the pictures: a canvas in place of the fake camera's test pattern. Nobody's photograph.

export interface Scene {
  readonly wall: readonly [string, string];
  readonly light: string;
  readonly skin: string;
  readonly hair: string;
  readonly style: "short" | "long" | "bun" | "curls";
  readonly shirt: readonly [string, string];
  readonly glasses?: boolean;
  readonly beard?: boolean;
  /** Where the window is, as a share of the width. */
  readonly window: number;
}

export const scenes = {
  mira: {
    wall: ["#f3e3d3", "#d9b99b"],
    light: "#fff6e6",
    skin: "#e3a780",
    hair: "#3b2620",
    style: "long",
    shirt: ["#2f6f73", "#1f4f55"],
    window: 0.16,
  },
  jonas: {
    wall: ["#dfe7ea", "#9fb4bf"],
    light: "#fafdff",
    skin: "#f0c3a2",
    hair: "#8a5a34",
    style: "short",
    shirt: ["#35495e", "#22303f"],
    glasses: true,
    beard: true,
    window: 0.8,
  },
  amara: {
    wall: ["#e9dfee", "#b79fc4"],
    light: "#fff8fb",
    skin: "#8a5436",
    hair: "#1d1412",
    style: "curls",
    shirt: ["#e0a33e", "#bd7f22"],
    window: 0.82,
  },
  lin: {
    wall: ["#e2ebdd", "#a3bd9b"],
    light: "#fbfff5",
    skin: "#ecc19c",
    hair: "#1c1b20",
    style: "bun",
    shirt: ["#b5533c", "#8f3c2b"],
    window: 0.2,
  },
} as const satisfies Record<string, Scene>;

/** Serialised into the page: it may use nothing from outside itself. */
// eslint-disable-next-line max-lines-per-function -- it goes into the page as one piece
export function sitInFront(scene: Scene): void {
  const width = 960;
  const height = 540;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  const pen: CanvasRenderingContext2D = context;

  const oval = (x: number, y: number, rx: number, ry: number, fill: string | CanvasGradient): void => {
    pen.beginPath();
    pen.ellipse(x, y, rx, ry, 0, 0, Math.PI * 2);
    pen.fillStyle = fill;
    pen.fill();
  };
  const shade = (colour: string, by: number): string => {
    const parts = [1, 3, 5].map((at) => Math.round(Math.min(255, parseInt(colour.slice(at, at + 2), 16) * by)));
    return `rgb(${parts.join(" ")})`;
  };
  const fade = (x: number, y: number, r: number, from: string, to: string): CanvasGradient => {
    const gradient = pen.createRadialGradient(x, y, 0, x, y, r);
    gradient.addColorStop(0, from);
    gradient.addColorStop(1, to);
    return gradient;
  };

  /** The room behind: out of focus, drawn once. */
  const room = document.createElement("canvas");
  room.width = width;
  room.height = height;
  const back = room.getContext("2d");
  if (back) {
    const wall = back.createLinearGradient(0, 0, width, height);
    wall.addColorStop(0, scene.wall[0]);
    wall.addColorStop(1, scene.wall[1]);
    back.fillStyle = wall;
    back.fillRect(0, 0, width, height);
    back.filter = "blur(14px)";
    const left = scene.window * width - 105;
    back.fillStyle = scene.light;
    back.fillRect(left, 30, 210, 290);
    back.fillStyle = shade(scene.wall[1], 0.95);
    back.fillRect(left + 100, 30, 10, 290);
    back.fillRect(left, 160, 210, 9);
    const shelf = scene.window < 0.5 ? width * 0.66 : width * 0.05;
    back.fillStyle = shade(scene.wall[1], 0.72);
    back.fillRect(shelf, 210, 280, 12);
    const books = ["#b5533c", "#d9a441", "#3f6c75", "#75537f", "#e9e2d5", "#4d6b46"];
    for (const [at, colour] of books.entries()) {
      back.fillStyle = colour;
      back.fillRect(shelf + 20 + at * 24, 130 + ((at * 37) % 28), 20, 80 - ((at * 37) % 28));
    }
    back.fillStyle = "#a8654a";
    back.fillRect(shelf + 204, 172, 44, 40);
    back.fillStyle = "#53764d";
    for (const turn of [-0.8, -0.35, 0.1, 0.5, 0.9]) {
      back.beginPath();
      back.ellipse(shelf + 226 + turn * 34, 138 - Math.cos(turn) * 14, 11, 42, turn, 0, Math.PI * 2);
      back.fill();
    }
    back.filter = "none";
  }

  const hairBehind = (y: number): void => {
    if (scene.style === "long") {
      pen.beginPath();
      pen.moveTo(width / 2 - 108, y - 20);
      pen.bezierCurveTo(width / 2 - 128, y - 175, width / 2 + 128, y - 175, width / 2 + 108, y - 20);
      pen.bezierCurveTo(width / 2 + 112, y + 90, width / 2 + 118, y + 150, width / 2 + 96, y + 205);
      pen.lineTo(width / 2 - 96, y + 205);
      pen.bezierCurveTo(width / 2 - 118, y + 150, width / 2 - 112, y + 90, width / 2 - 108, y - 20);
      pen.fillStyle = scene.hair;
      pen.fill();
    }
    if (scene.style === "bun") oval(width / 2 + 4, y - 146, 46, 40, scene.hair);
    if (scene.style === "curls") {
      for (let at = 0; at < 15; at += 1) {
        const turn = Math.PI * (0.92 + (at / 14) * 1.16);
        oval(width / 2 + Math.cos(turn) * 100, y - 22 + Math.sin(turn) * 112, 44, 44, scene.hair);
      }
    }
  };

  const body = (): void => {
    const cloth = pen.createLinearGradient(width * 0.3, 380, width * 0.7, height);
    cloth.addColorStop(0, scene.shirt[0]);
    cloth.addColorStop(1, scene.shirt[1]);
    pen.beginPath();
    pen.moveTo(width / 2 - 250, height + 10);
    pen.bezierCurveTo(width / 2 - 240, 440, width / 2 - 170, 418, width / 2 - 62, 398);
    pen.lineTo(width / 2 + 62, 398);
    pen.bezierCurveTo(width / 2 + 170, 418, width / 2 + 240, 440, width / 2 + 250, height + 10);
    pen.fillStyle = cloth;
    pen.fill();
  };

  const neck = (y: number): void => {
    pen.beginPath();
    pen.moveTo(width / 2 - 44, y + 60);
    pen.lineTo(width / 2 - 50, 402);
    pen.quadraticCurveTo(width / 2, 456, width / 2 + 50, 402);
    pen.lineTo(width / 2 + 44, y + 60);
    pen.fillStyle = shade(scene.skin, 0.84);
    pen.fill();
  };

  const fringe = (y: number): void => {
    pen.fillStyle = scene.hair;
    pen.beginPath();
    pen.moveTo(width / 2 - 93, y - 6);
    if (scene.style === "short") {
      pen.bezierCurveTo(width / 2 - 112, y - 150, width / 2 + 112, y - 164, width / 2 + 93, y - 6);
      pen.bezierCurveTo(width / 2 + 84, y - 66, width / 2 + 40, y - 74, width / 2 - 8, y - 70);
      pen.bezierCurveTo(width / 2 - 50, y - 68, width / 2 - 84, y - 60, width / 2 - 93, y - 6);
    } else if (scene.style === "bun") {
      pen.bezierCurveTo(width / 2 - 106, y - 156, width / 2 + 106, y - 156, width / 2 + 93, y - 6);
      pen.bezierCurveTo(width / 2 + 72, y - 62, width / 2 + 34, y - 84, width / 2, y - 86);
      pen.bezierCurveTo(width / 2 - 34, y - 84, width / 2 - 72, y - 62, width / 2 - 93, y - 6);
    } else {
      pen.bezierCurveTo(width / 2 - 114, y - 156, width / 2 + 114, y - 156, width / 2 + 93, y - 6);
      pen.bezierCurveTo(width / 2 + 84, y - 50, width / 2 + 44, y - 62, width / 2 + 18, y - 88);
      pen.bezierCurveTo(width / 2 - 12, y - 58, width / 2 - 84, y - 48, width / 2 - 93, y - 6);
    }
    pen.fill();
  };

  const face = (y: number): void => {
    const skin = fade(
      width / 2 + (scene.window < 0.5 ? -46 : 46),
      y - 40,
      190,
      shade(scene.skin, 1.08),
      shade(scene.skin, 0.92),
    );
    for (const side of [-1, 1]) oval(width / 2 + side * 92, y + 10, 15, 23, shade(scene.skin, 0.88));
    oval(width / 2, y, 93, 118, skin);
    if (scene.beard) {
      pen.beginPath();
      pen.moveTo(width / 2 - 90, y + 22);
      pen.bezierCurveTo(width / 2 - 84, y + 128, width / 2 - 38, y + 132, width / 2, y + 132);
      pen.bezierCurveTo(width / 2 + 38, y + 132, width / 2 + 84, y + 128, width / 2 + 90, y + 22);
      pen.bezierCurveTo(width / 2 + 62, y + 44, width / 2 + 44, y + 42, width / 2, y + 40);
      pen.bezierCurveTo(width / 2 - 44, y + 42, width / 2 - 62, y + 44, width / 2 - 90, y + 22);
      pen.fillStyle = scene.hair;
      pen.fill();
    }
    for (const side of [-1, 1]) {
      const x = width / 2 + side * 37;
      oval(x, y + 34, 22, 14, "rgb(214 96 80 / 13%)");
      oval(x, y - 4, 13, 9.8, "#fffdf9");
      oval(x + 1, y - 4, 7.5, 9.2, "#35251d");
      oval(x + 3.5, y - 7, 2.2, 2.2, "#ffffff");
      pen.lineCap = "round";
      pen.strokeStyle = scene.hair;
      pen.lineWidth = 6;
      pen.beginPath();
      pen.moveTo(x - 17, y - 27 + (side < 0 ? 2 : -2));
      pen.quadraticCurveTo(x, y - 36, x + 17, y - 27 + (side < 0 ? -2 : 2));
      pen.stroke();
      if (scene.glasses) {
        pen.strokeStyle = "#2a2f36";
        pen.lineWidth = 4;
        pen.beginPath();
        pen.roundRect(x - 27, y - 22, 54, 40, 15);
        pen.stroke();
      }
    }
    if (scene.glasses) {
      pen.beginPath();
      pen.moveTo(width / 2 - 10, y - 6);
      pen.quadraticCurveTo(width / 2, y - 11, width / 2 + 10, y - 6);
      pen.stroke();
    }
    pen.strokeStyle = shade(scene.skin, 0.7);
    pen.lineWidth = 4;
    pen.beginPath();
    pen.moveTo(width / 2 + 1, y + 4);
    pen.quadraticCurveTo(width / 2 + 13, y + 30, width / 2 - 3, y + 31);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(width / 2 - 30, y + 58);
    pen.quadraticCurveTo(width / 2, y + 92, width / 2 + 30, y + 58);
    pen.quadraticCurveTo(width / 2, y + 66, width / 2 - 30, y + 58);
    pen.fillStyle = "#9c3f3a";
    pen.fill();
    pen.beginPath();
    pen.moveTo(width / 2 - 22, y + 62);
    pen.quadraticCurveTo(width / 2, y + 74, width / 2 + 22, y + 62);
    pen.quadraticCurveTo(width / 2, y + 66, width / 2 - 22, y + 62);
    pen.fillStyle = "#fffaf5";
    pen.fill();
  };

  const draw = (): void => {
    const now = performance.now() / 1000;
    const y = 238 + Math.sin(now * 0.9) * 2.5;
    pen.drawImage(room, 0, 0);
    pen.save();
    pen.translate(Math.sin(now * 0.6) * 4, 0);
    hairBehind(y);
    neck(y);
    body();
    face(y);
    fringe(y);
    pen.restore();
    const sun = scene.window * width;
    pen.fillStyle = fade(sun, 150, 620, "rgb(255 250 235 / 26%)", "rgb(255 250 235 / 0%)");
    pen.fillRect(0, 0, width, height);
  };
  draw();
  setInterval(draw, 1000 / 20);

  const devices = navigator.mediaDevices;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (constraints = {}) => {
    const tracks: MediaStreamTrack[] = [];
    if (constraints.audio) tracks.push(...(await ask({ audio: constraints.audio })).getTracks());
    if (constraints.video) tracks.push(...canvas.captureStream(20).getTracks());
    return new MediaStream(tracks);
  };
  const list = devices.enumerateDevices.bind(devices);
  const names: Record<string, string> = {
    videoinput: "Built-in camera",
    audioinput: "Headset",
    audiooutput: "Headset",
  };
  devices.enumerateDevices = async () => {
    const seen = new Set<string>();
    const one = (await list()).filter(({ kind }) => !seen.has(kind) && seen.add(kind));
    return one.map(({ deviceId, groupId, kind }) => {
      const named = { deviceId, groupId, kind, label: names[kind] ?? "" };
      return { ...named, toJSON: () => named };
    });
  };
}
