"""A script for the page's head that opens the microphone raw, and starts a recording again that failed to start."""

#: Of the page's head. Echo cancellation, noise suppression and gain control are made for speech: they silence sirens
#: and engines. And where somebody is quick, Gradio 6.31 makes the recorder of a stream before its encoder is loaded: it
#: raises, shows "Stop" and never sends a sound. So the recording is stopped and begun again until it goes.
MICROPHONE = """
<script>
(() => {
  const devices = navigator.mediaDevices;
  if (!devices || devices.quaclrsRaw) return;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (wanted) => {
    if (wanted && wanted.audio) {
      const given = typeof wanted.audio === "object" ? wanted.audio : {};
      const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      wanted = { ...wanted, audio: { ...given, ...raw } };
    }
    return open(wanted);
  };
  devices.quaclrsRaw = true;

  const again = 500;  // milliseconds
  window.addEventListener("unhandledrejection", (event) => {
    if (!/MediaRecorder|is not a constructor/.test(String(event.reason))) return;
    document.querySelector("#stream .stop-button")?.click();
    setTimeout(() => document.querySelector("#stream .record-button")?.click(), again);
  });
})();
</script>
"""
