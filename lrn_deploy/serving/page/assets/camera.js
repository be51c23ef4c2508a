// A photograph by the camera of this device.

import { $ } from "./dom.js";

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the camera. Allow it, or choose a file.",
  NotFoundError: "There is no camera on this device. Choose a file instead.",
  NotReadableError: "Another program uses the camera. Close it, or choose a file.",
};

/** Asks for a photograph; null if people think better of it, or there is no camera. */
export async function photograph(refuse) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    refuse(REASONS[error.name] ?? "The camera cannot be used. Choose a file instead.");
    return null;
  }
  const dialog = $("camera");
  const view = $("view");
  view.srcObject = stream;
  dialog.showModal();
  try {
    if (!(await answer(dialog))) return null;
    return await still(view);
  } finally {
    for (const track of stream.getTracks()) track.stop();
    view.srcObject = null;
    dialog.close();
  }
}

function answer(dialog) {
  return new Promise((resolve) => {
    $("take").onclick = () => resolve(true);
    $("camera-cancel").onclick = () => resolve(false);
    dialog.oncancel = () => resolve(false);
  });
}

async function still(view) {
  if (!view.videoWidth) await new Promise((resolve) => { view.onloadeddata = resolve; });
  const canvas = new OffscreenCanvas(view.videoWidth, view.videoHeight);
  canvas.getContext("2d").drawImage(view, 0, 0);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}
