// The help page in English. Plain sentences; `topics` are shown in this order.

export interface Topic {
  readonly id: string;
  readonly title: string;
  readonly answers: readonly { readonly question: string; readonly text: readonly string[] }[];
}

export const help: readonly Topic[] = [
  {
    id: "how",
    title: "How it works",
    answers: [
      {
        question: "How do I start a call?",
        text: [
          "On the start page, press “Start a room”. In the room, press “Join”, then send the link: with “Invite” you copy it, mail it, or let a phone read it as a QR code.",
          "Whoever opens the link is in the same room. There are no accounts, and nothing is installed.",
          "Some rooms are for invited people: each then has a link of their own with an invitation in it, which is good for one person. The link that “Invite” shows has no invitation in it.",
        ],
      },
      {
        question: "Who is the host?",
        text: [
          "Whoever comes first. The host can lock the room, remove someone, make someone else the host, and end the call for everyone. When the host leaves, the one who has been here longest takes over.",
          "In the menu of a person under “People” the host makes them a co-host, who may do the same, and says whether they may speak, show their camera or share their screen.",
        ],
      },
      {
        question: "How many people can talk?",
        text: [
          "As many as the server's operator allows. Two talk directly, from browser to browser. From the third on everything goes through the server, which sends everyone only what fits their screen and their connection; the page changes over by itself, and back when two are left.",
        ],
      },
      {
        question: "Can most people only watch?",
        text: [
          "Yes. Under “People” the host lets newcomers only watch. Whoever wants to speak raises a hand, and the host gives them the floor, and takes it again.",
        ],
      },
      {
        question: "What are breakout rooms?",
        text: [
          "Small rooms for a part of the people. Under “People” the host opens them, up to twenty; everybody goes in and comes back by a press of a button. When the host closes them, all are led back to the main room. Nobody comes in by a link.",
        ],
      },
      {
        question: "Are there captions?",
        text: [
          "Under “More” you show captions, and where your browser can write down what you say, you let it. Some browsers send the sound to their maker for that; the page says so before. Anyone's captions are shown to those who turn them on, and kept nowhere.",
        ],
      },
      {
        question: "What is a link that rings?",
        text: [
          "A link that begins with /call/ rings. Whoever opens it first waits for callers; everyone after that rings, and is let in or turned away. Before you accept, nothing about your network is exchanged with the caller.",
        ],
      },
      {
        question: "My page was reloaded. Am I out?",
        text: [
          "No. The page goes straight back into the call. When you lose the network, your place is kept for half a minute, and what flows between the browsers goes on as far as it can. After that the page enters anew by itself, by the same name.",
        ],
      },
    ],
  },
  {
    id: "privacy",
    title: "Privacy",
    answers: [
      {
        question: "What does the server see?",
        text: [
          "Who is in which room and when, the names people gave, your network address, and the lines of the chat, which it passes on. It keeps when a session began and ended, who joined and left, and whether media was direct or relayed; whoever runs the server can read that.",
          "In a call of two it does not see or hear you: sound, pictures and files are encrypted between the browsers. Where the relay is needed it passes on encrypted packets.",
          "In larger calls it passes on sound and pictures, encrypted on the way to it and from it; whoever runs it could listen. In an end-to-end encrypted call it cannot: choose that on the start page. The key is then in the link and never reaches the server, so send the link to nobody else.",
        ],
      },
      {
        question: "What do the others see?",
        text: [
          "Your name, your picture, your voice, and whether your microphone and camera are on. Where media flows directly, their browsers also learn your network address, as with any direct connection.",
          "Whoever has the link also sees, before entering, how many are in an open room and the first few names. A locked room, and one where newcomers ring, show nobody.",
        ],
      },
      {
        question: "What does “Hide my address” do?",
        text: [
          "All your media then goes through the server's relay, and the server refuses to pass your address on to the others. The sign with the crossed-out eye shows it to everyone. The server itself still sees your address. Pictures may arrive a little later.",
        ],
      },
      {
        question: "What are the safety words?",
        text: [
          "Four words that both sides work out from their encryption. Read them to each other: if they are the same, nobody sits in between, not even this server. Compare them when it matters.",
        ],
      },
      {
        question: "What is kept in this browser?",
        text: [
          "Your name, the chosen devices, the theme, the language, and the last rooms you were in. It stays here; “Forget” on the start page takes a room off the list.",
        ],
      },
      {
        question: "Can someone listen without being seen?",
        text: ["No. Everyone in a room is on the list under “People”; the protocol has no hidden participant."],
      },
    ],
  },
  {
    id: "browsers",
    title: "Browsers",
    answers: [
      {
        question: "Which browsers work?",
        text: [
          "Current versions of Chrome, Edge, Firefox and Safari, on computers and on phones. Phones cannot share their screen, because their browsers do not offer it.",
        ],
      },
      {
        question: "Why does the browser warn me at the first visit?",
        text: [
          "A fresh server makes its own certificate, and a browser trusts only certificates it knows. On a server you know, at home or in the office, open the details of the warning and continue. The connection is encrypted all the same.",
          "If you do not know who runs the server, do not continue. An operator can install a certificate that every browser knows; then there is no warning.",
        ],
      },
    ],
  },
  {
    id: "trouble",
    title: "When something does not work",
    answers: [
      {
        question: "My camera or microphone is blocked",
        text: [
          "Press the sign at the left end of the address bar and allow camera and microphone for this page; then try again. On a phone, see also whether the system allows the browser to use them.",
        ],
      },
      {
        question: "My camera is used by another program",
        text: ["Close the other program, or the other tab, and press the camera button again."],
      },
      {
        question: "I hear nothing",
        text: [
          "Look whether the other side's microphone is on. Under “More”, “Devices and sounds”, choose another speaker and play the test tone. If the page offers “Turn on the sound”, press it: some browsers wait for that.",
        ],
      },
      {
        question: "The picture freezes or is coarse",
        text: [
          "The dot on each picture tells how good the connection is; press it to read why. Turning your own camera off leaves more for your voice.",
          "Under “More”, “Save data” asks for small pictures, and “Sound only” for no cameras at all. Under “Devices and sounds” your own camera can be sent in a newer codec, which needs less of the line and more of the computer.",
        ],
      },
      {
        question: "We do not get connected",
        text: [
          "Some networks block direct connections. Turn on “Hide my address”: everything then goes through the relay. If that fails too, the network blocks the relay as well, and whoever runs it has to allow it.",
        ],
      },
      {
        question: "I hear an echo",
        text: ["Someone's speaker is too loud near their microphone. A headset cures it."],
      },
    ],
  },
];
