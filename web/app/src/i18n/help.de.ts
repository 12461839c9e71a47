// The help page in German.
import type { Topic } from "./help.en.ts";

export const help: readonly Topic[] = [
  {
    id: "how",
    title: "So funktioniert es",
    answers: [
      {
        question: "Wie beginne ich ein Gespräch?",
        text: [
          "Drücken Sie auf der Startseite „Raum öffnen“. Im Raum drücken Sie „Beitreten“ und schicken dann den Link: Unter „Einladen“ können Sie ihn kopieren, mailen oder von einem Telefon als QR-Code lesen lassen.",
          "Wer den Link öffnet, ist im selben Raum. Es gibt keine Konten, und nichts wird installiert.",
          "Manche Räume sind für Eingeladene: Jeder hat dann einen eigenen Link mit einer Einladung darin, die für einen Menschen gilt. In dem Link, den „Einladen“ zeigt, steht keine.",
        ],
      },
      {
        question: "Wer leitet das Gespräch?",
        text: [
          "Wer zuerst kommt. Die Leitung kann den Raum abschließen, jemanden entfernen, die Leitung übergeben und das Gespräch für alle beenden. Geht die Leitung, übernimmt, wer am längsten da ist.",
          "Im Menü einer Person unter „Personen“ macht die Leitung sie zur Mitleitung, die dasselbe darf, und sagt, ob sie sprechen, ihre Kamera zeigen oder ihren Bildschirm teilen darf.",
        ],
      },
      {
        question: "Wie viele können miteinander sprechen?",
        text: [
          "So viele, wie der Betreiber des Servers erlaubt. Zwei sprechen direkt, von Browser zu Browser. Vom Dritten an geht alles durch den Server, der allen nur schickt, was zu ihrem Bildschirm und ihrer Verbindung passt; die Seite wechselt von selbst, und zurück, wenn zwei übrig sind.",
        ],
      },
      {
        question: "Können die meisten nur zusehen?",
        text: [
          "Ja. Unter „Personen“ lässt die Leitung Neue nur zusehen. Wer sprechen möchte, hebt die Hand; die Leitung gibt das Wort und nimmt es wieder.",
        ],
      },
      {
        question: "Was sind Gruppenräume?",
        text: [
          "Kleine Räume für einen Teil der Menschen. Unter „Personen“ öffnet die Leitung bis zu zwanzig; alle gehen mit einem Knopfdruck hinein und zurück. Schließt die Leitung sie, kommen alle in den Hauptraum. Durch einen Link kommt niemand herein.",
        ],
      },
      {
        question: "Gibt es Untertitel?",
        text: [
          "Unter „Mehr“ blenden Sie Untertitel ein, und wo Ihr Browser mitschreiben kann, was Sie sagen, lassen Sie ihn. Manche Browser schicken den Ton dafür an ihren Hersteller; die Seite sagt es vorher. Untertitel sieht, wer sie einblendet, und nirgends werden sie aufbewahrt.",
        ],
      },
      {
        question: "Was ist ein Link, der klingelt?",
        text: [
          "Ein Link, der mit /call/ beginnt, klingelt. Wer ihn zuerst öffnet, wartet auf Anrufe; alle danach klingeln und werden eingelassen oder abgewiesen. Bevor Sie annehmen, wird nichts über Ihr Netz mit der anrufenden Person ausgetauscht.",
        ],
      },
      {
        question: "Die Seite wurde neu geladen. Bin ich draußen?",
        text: [
          "Nein. Die Seite kehrt von selbst ins Gespräch zurück. Verlieren Sie das Netz, wird Ihr Platz eine halbe Minute lang freigehalten, und was zwischen den Browsern fließt, fließt weiter, so gut es geht. Danach tritt die Seite von selbst neu bei, unter demselben Namen.",
        ],
      },
    ],
  },
  {
    id: "privacy",
    title: "Privatsphäre",
    answers: [
      {
        question: "Was sieht der Server?",
        text: [
          "Wer wann in welchem Raum ist, die angegebenen Namen, Ihre Netzadresse und die Zeilen des Chats, die er weitergibt. Er bewahrt auf, wann ein Gespräch begann und endete, wer kam und ging und ob Medien direkt oder über das Relais liefen; wer den Server betreibt, kann das lesen.",
          "In einem Gespräch zu zweit sieht und hört er Sie nicht: Ton, Bilder und Dateien sind zwischen den Browsern verschlüsselt. Wo das Relais nötig ist, gibt es verschlüsselte Pakete weiter.",
          "In größeren Gesprächen gibt er Ton und Bilder weiter, verschlüsselt auf dem Weg zu ihm und von ihm; wer ihn betreibt, könnte mithören. In einem Ende-zu-Ende-verschlüsselten Gespräch kann er das nicht: Wählen Sie das auf der Startseite. Der Schlüssel steht dann im Link und kommt nie zum Server; geben Sie den Link also niemandem sonst.",
        ],
      },
      {
        question: "Was sehen die anderen?",
        text: [
          "Ihren Namen, Ihr Bild, Ihre Stimme und ob Mikrofon und Kamera an sind. Wo Medien direkt fließen, erfahren ihre Browser auch Ihre Netzadresse, wie bei jeder direkten Verbindung.",
          "Wer den Link hat, sieht außerdem vor dem Beitreten, wie viele in einem offenen Raum sind, und die ersten paar Namen. Ein abgeschlossener Raum und einer, an dem man klingelt, zeigen niemanden.",
        ],
      },
      {
        question: "Was bewirkt „Meine Adresse verbergen“?",
        text: [
          "Alle Ihre Medien gehen dann durch das Relais des Servers, und der Server weigert sich, Ihre Adresse an die anderen weiterzugeben. Das Zeichen mit dem durchgestrichenen Auge zeigt es allen. Der Server selbst sieht Ihre Adresse weiterhin. Bilder können etwas später ankommen.",
        ],
      },
      {
        question: "Was sind die Sicherheitswörter?",
        text: [
          "Vier Wörter, die beide Seiten aus ihrer Verschlüsselung errechnen. Lesen Sie sie einander vor: Sind sie gleich, sitzt niemand dazwischen, auch nicht dieser Server. Vergleichen Sie sie, wenn es darauf ankommt.",
        ],
      },
      {
        question: "Was bleibt in diesem Browser?",
        text: [
          "Ihr Name, die gewählten Geräte, Farben, Sprache und die letzten Räume. Es bleibt hier; „Vergessen“ auf der Startseite nimmt einen Raum von der Liste.",
        ],
      },
      {
        question: "Kann jemand ungesehen zuhören?",
        text: [
          "Nein. Alle in einem Raum stehen auf der Liste unter „Personen“; das Protokoll kennt keine verborgenen Teilnehmer.",
        ],
      },
    ],
  },
  {
    id: "browsers",
    title: "Browser",
    answers: [
      {
        question: "Welche Browser gehen?",
        text: [
          "Aktuelle Fassungen von Chrome, Edge, Firefox und Safari, auf Rechnern und Telefonen. Telefone können ihren Bildschirm nicht teilen, weil ihre Browser es nicht anbieten.",
        ],
      },
      {
        question: "Warum warnt mich der Browser beim ersten Besuch?",
        text: [
          "Ein frischer Server stellt sein Zertifikat selbst aus, und ein Browser vertraut nur Zertifikaten, die er kennt. Auf einem Server, den Sie kennen, zu Hause oder im Büro, öffnen Sie die Einzelheiten der Warnung und fahren fort. Verschlüsselt ist die Verbindung trotzdem.",
          "Wenn Sie nicht wissen, wer den Server betreibt, fahren Sie nicht fort. Wer ihn betreibt, kann ein Zertifikat einrichten, das jeder Browser kennt; dann gibt es keine Warnung.",
        ],
      },
    ],
  },
  {
    id: "trouble",
    title: "Wenn etwas nicht geht",
    answers: [
      {
        question: "Kamera oder Mikrofon sind gesperrt",
        text: [
          "Drücken Sie auf das Zeichen am linken Ende der Adresszeile, erlauben Sie Kamera und Mikrofon für diese Seite und versuchen Sie es noch einmal. Auf einem Telefon sehen Sie auch nach, ob das System dem Browser den Zugriff erlaubt.",
        ],
      },
      {
        question: "Ein anderes Programm benutzt die Kamera",
        text: ["Schließen Sie das andere Programm oder den anderen Tab und drücken Sie noch einmal auf die Kamera."],
      },
      {
        question: "Ich höre nichts",
        text: [
          "Sehen Sie nach, ob das Mikrofon der anderen Seite an ist. Wählen Sie unter „Mehr“, „Geräte und Töne“ einen anderen Lautsprecher und spielen Sie den Prüfton. Bietet die Seite „Ton einschalten“ an, drücken Sie darauf: Manche Browser warten darauf.",
        ],
      },
      {
        question: "Das Bild steht oder ist grob",
        text: [
          "Der Punkt auf jedem Bild sagt, wie gut die Verbindung ist; drücken Sie darauf, um zu lesen, warum. Schalten Sie die eigene Kamera aus, bleibt mehr für Ihre Stimme.",
          "Unter „Mehr“ lassen Sie mit „Daten sparen“ nur kleine Bilder kommen und mit „Nur Ton“ keine Kameras. Unter „Geräte und Töne“ geht Ihre Kamera in einem neueren Codec hinaus, der weniger von der Leitung braucht und mehr vom Rechner.",
        ],
      },
      {
        question: "Wir kommen nicht zusammen",
        text: [
          "Manche Netze sperren direkte Verbindungen. Schalten Sie „Meine Adresse verbergen“ ein: Alles geht dann durch das Relais. Geht auch das nicht, sperrt das Netz auch das Relais, und wer es betreibt, muss es erlauben.",
        ],
      },
      {
        question: "Ich höre ein Echo",
        text: ["Ein Lautsprecher ist zu laut in der Nähe eines Mikrofons. Ein Headset hilft."],
      },
    ],
  },
];
