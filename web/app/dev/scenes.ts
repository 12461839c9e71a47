// Drawn stand-ins for cameras and screens: people at home, and a document. For the fixture page only.

export interface Look {
  readonly wall: [string, string];
  readonly skin: string;
  readonly hair: string;
  readonly top: string;
  readonly style: "bob" | "short" | "bun" | "curls";
  readonly background: "window" | "shelf" | "plant";
}

const LOOKS: readonly Look[] = [
  {
    wall: ["#d9c3a5", "#b08f6b"],
    skin: "#e0ac8a",
    hair: "#3b2a23",
    top: "#2f6f70",
    style: "bob",
    background: "window",
  },
  {
    wall: ["#93a9a6", "#5d7876"],
    skin: "#8d5a3f",
    hair: "#1d1614",
    top: "#e3b36a",
    style: "short",
    background: "plant",
  },
  { wall: ["#c9b2ab", "#93736f"], skin: "#f0c6a8", hair: "#8c4a26", top: "#4b4f73", style: "bun", background: "shelf" },
  {
    wall: ["#b9bda6", "#7d8468"],
    skin: "#c98e66",
    hair: "#2a211d",
    top: "#b6523d",
    style: "curls",
    background: "window",
  },
];

export function lookOf(index: number): Look {
  const look = LOOKS[index % LOOKS.length];
  if (look === undefined) throw new Error("there are no looks");
  return look;
}

export function cameraStream(look: Look): MediaStream {
  const room = drawRoom(look);
  return moving(1280, 720, (context, time) => {
    context.drawImage(room, 0, 0);
    drawPerson(context, look, time);
  });
}

export function screenStream(): MediaStream {
  return moving(1600, 900, (context) => drawDocument(context));
}

function moving(
  width: number,
  height: number,
  draw: (context: CanvasRenderingContext2D, time: number) => void,
): MediaStream {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("no canvas");
  const frame = (): void => draw(context, performance.now() / 1000);
  frame();
  setInterval(frame, 200);
  return canvas.captureStream(5);
}

/** Drawn once: a blur costs more than everything else here. */
function drawRoom(look: Look): OffscreenCanvas {
  const canvas = new OffscreenCanvas(1280, 720);
  const c = canvas.getContext("2d") as unknown as CanvasRenderingContext2D;
  const room = c.createLinearGradient(0, 0, 1280, 720);
  room.addColorStop(0, look.wall[0]);
  room.addColorStop(1, look.wall[1]);
  c.fillStyle = room;
  c.fillRect(0, 0, 1280, 720);
  c.save();
  c.filter = "blur(9px)";
  if (look.background === "window") drawWindow(c);
  else if (look.background === "shelf") drawShelf(c);
  else drawPlant(c);
  c.restore();
  return canvas;
}

function drawPerson(c: CanvasRenderingContext2D, look: Look, time: number): void {
  c.save();
  c.translate(640 + Math.sin(time * 0.7) * 5, 720 + Math.sin(time * 1.1) * 2);
  drawBody(c, look);
  drawHead(c, look);
  c.restore();
  const vignette = c.createRadialGradient(640, 330, 260, 640, 360, 860);
  vignette.addColorStop(0, "rgba(0,0,0,0)");
  vignette.addColorStop(1, "rgba(20,12,6,0.34)");
  c.fillStyle = vignette;
  c.fillRect(0, 0, 1280, 720);
}

function drawBody(c: CanvasRenderingContext2D, look: Look): void {
  const top = c.createLinearGradient(-250, -250, 250, 0);
  top.addColorStop(0, look.top);
  top.addColorStop(1, shade(look.top, -26));
  c.fillStyle = top;
  c.beginPath();
  c.moveTo(-330, 0);
  c.bezierCurveTo(-318, -150, -230, -186, -96, -214);
  c.bezierCurveTo(-50, -190, 50, -190, 96, -214);
  c.bezierCurveTo(230, -186, 318, -150, 330, 0);
  c.fill();
  c.fillStyle = shade(look.skin, -22);
  c.beginPath();
  c.moveTo(-62, -320);
  c.lineTo(-66, -222);
  c.bezierCurveTo(-40, -176, 40, -176, 66, -222);
  c.lineTo(62, -320);
  c.fill();
}

function drawHead(c: CanvasRenderingContext2D, look: Look): void {
  c.save();
  c.translate(0, -400);
  drawHairBehind(c, look);
  const face = c.createLinearGradient(-120, -120, 130, 130);
  face.addColorStop(0, shade(look.skin, 14));
  face.addColorStop(1, shade(look.skin, -16));
  c.fillStyle = face;
  c.beginPath();
  c.moveTo(-112, -40);
  c.bezierCurveTo(-116, 70, -66, 148, 0, 148);
  c.bezierCurveTo(66, 148, 116, 70, 112, -40);
  c.bezierCurveTo(108, -150, -108, -150, -112, -40);
  c.fill();
  drawFeatures(c, look);
  drawHairFront(c, look);
  c.restore();
}

function drawFeatures(c: CanvasRenderingContext2D, look: Look): void {
  c.lineCap = "round";
  for (const side of [-1, 1]) {
    c.strokeStyle = look.hair;
    c.lineWidth = 7;
    c.beginPath();
    c.moveTo(side * 26, -34);
    c.quadraticCurveTo(side * 48, -48, side * 70, -34);
    c.stroke();
    c.fillStyle = "#2a201c";
    c.beginPath();
    c.ellipse(side * 47, -6, 8.5, 10, 0, 0, 7);
    c.fill();
    c.fillStyle = "rgba(214,96,70,0.16)";
    c.beginPath();
    c.ellipse(side * 68, 42, 26, 18, 0, 0, 7);
    c.fill();
  }
  c.strokeStyle = shade(look.skin, -44);
  c.lineWidth = 5;
  c.beginPath();
  c.moveTo(2, 4);
  c.quadraticCurveTo(14, 34, -4, 40);
  c.stroke();
  c.strokeStyle = "#8f3f36";
  c.lineWidth = 7;
  c.beginPath();
  c.moveTo(-34, 78);
  c.quadraticCurveTo(0, 106, 34, 78);
  c.stroke();
}

function drawHairBehind(c: CanvasRenderingContext2D, look: Look): void {
  c.fillStyle = shade(look.hair, -6);
  if (look.style === "bob") {
    c.beginPath();
    c.roundRect(-150, -150, 300, 330, [150, 150, 70, 70]);
    c.fill();
  } else if (look.style === "bun") {
    c.beginPath();
    c.arc(0, -172, 58, 0, 7);
    c.fill();
    c.beginPath();
    c.ellipse(0, -40, 130, 124, 0, 0, 7);
    c.fill();
  } else if (look.style === "curls") {
    for (let i = 0; i < 17; i += 1) {
      const angle = Math.PI * (0.86 + (i / 16) * 1.28);
      c.beginPath();
      c.arc(Math.cos(angle) * 128, Math.sin(angle) * 128 - 10, 46, 0, 7);
      c.fill();
    }
  }
}

function drawHairFront(c: CanvasRenderingContext2D, look: Look): void {
  c.fillStyle = look.hair;
  c.beginPath();
  if (look.style === "short") {
    c.moveTo(-118, -20);
    c.bezierCurveTo(-140, -170, 140, -176, 118, -20);
    c.bezierCurveTo(108, -70, 84, -92, 20, -88);
    c.bezierCurveTo(-50, -84, -104, -78, -118, -20);
  } else {
    c.moveTo(-120, 10);
    c.bezierCurveTo(-142, -178, 142, -178, 120, 10);
    c.bezierCurveTo(112, -64, 66, -96, -18, -104);
    c.bezierCurveTo(-60, -80, -106, -64, -120, 10);
  }
  c.fill();
}

function drawWindow(c: CanvasRenderingContext2D): void {
  const sky = c.createLinearGradient(0, 60, 0, 520);
  sky.addColorStop(0, "#f6ead2");
  sky.addColorStop(1, "#cfe0df");
  c.fillStyle = sky;
  c.fillRect(70, 40, 330, 460);
  c.fillStyle = "rgba(255,255,255,0.7)";
  c.fillRect(226, 40, 14, 460);
  c.fillRect(70, 250, 330, 12);
  c.fillStyle = "rgba(120,80,50,0.5)";
  c.fillRect(900, 150, 260, 200);
  c.fillStyle = "#e9d8bd";
  c.fillRect(918, 168, 224, 164);
  c.fillStyle = "#7d9a90";
  c.fillRect(940, 240, 180, 92);
}

function drawShelf(c: CanvasRenderingContext2D): void {
  const colours = ["#6f4a3a", "#a9715a", "#d2b48a", "#4f6266", "#84543f", "#c79468"];
  for (const y of [130, 310, 490]) {
    c.fillStyle = "#6d4b3d";
    c.fillRect(40, y, 400, 16);
    c.fillRect(860, y, 400, 16);
    for (let i = 0; i < 22; i += 1) {
      c.fillStyle = colours[(i * 5 + y) % colours.length] ?? "#6f4a3a";
      const height = 90 + ((i * 37 + y) % 40);
      c.fillRect(i < 11 ? 56 + i * 34 : 876 + (i - 11) * 34, y - height, 27, height);
    }
  }
}

function drawPlant(c: CanvasRenderingContext2D): void {
  c.fillStyle = "#c8795a";
  c.fillRect(1010, 520, 140, 200);
  for (let i = 0; i < 15; i += 1) {
    c.save();
    c.translate(1080, 520);
    c.rotate(-1.3 + i * 0.19);
    c.fillStyle = i % 2 === 0 ? "#3f6b52" : "#5b8a66";
    c.beginPath();
    c.ellipse(0, -190 - (i % 4) * 34, 34, 120, 0, 0, 7);
    c.fill();
    c.restore();
  }
  const lamp = c.createRadialGradient(180, 220, 10, 180, 220, 300);
  lamp.addColorStop(0, "rgba(255,226,168,0.95)");
  lamp.addColorStop(1, "rgba(255,226,168,0)");
  c.fillStyle = lamp;
  c.fillRect(0, 0, 520, 560);
}

function drawDocument(c: CanvasRenderingContext2D): void {
  c.fillStyle = "#f7f4ee";
  c.fillRect(0, 0, 1600, 900);
  c.fillStyle = "#ebe5da";
  c.fillRect(0, 0, 330, 900);
  c.fillStyle = "#2c2825";
  c.font = "600 54px Inter Variable, sans-serif";
  c.fillText("The garden in spring", 430, 150);
  c.font = "26px Inter Variable, sans-serif";
  const lines = [
    "Beds along the south wall are dug and ready. We plant beans",
    "first, then the early potatoes, and leave the corner by the",
    "shed for whatever the children bring.",
    "",
    "What is still open: water for July, and who opens the gate.",
  ];
  c.fillStyle = "#4d4742";
  lines.forEach((line, index) => c.fillText(line, 430, 230 + index * 44));
  const bars = [120, 190, 150, 260, 230, 310, 280];
  bars.forEach((height, index) => {
    c.fillStyle = index === 5 ? "#e3a857" : "#2f6f70";
    c.beginPath();
    c.roundRect(430 + index * 140, 830 - height, 92, height, 10);
    c.fill();
  });
  c.fillStyle = "#b9ad9b";
  for (let i = 0; i < 9; i += 1) c.fillRect(50, 110 + i * 56, 120 + ((i * 53) % 110), 14);
}

function shade(hex: string, by: number): string {
  const number = Number.parseInt(hex.slice(1), 16);
  const parts = [number >> 16, (number >> 8) & 255, number & 255].map((part) => Math.min(255, Math.max(0, part + by)));
  return `rgb(${parts.join(",")})`;
}
