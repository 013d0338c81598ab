/* A page that was opened from a folder may not start a worker, so the search's
   runs in a hidden frame there. Over HTTP this file does nothing. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      this.inner.postMessage = (data) => this.tell(this, data);
      const script = this.inner.document.createElement("script");
      script.src = address;
      this.loaded = new Promise((done) => (script.onload = done));
      this.inner.document.body.append(script);
    }

    postMessage(data) {
      this.loaded.then(() => this.tell(this.inner, data));
    }

    tell(target, data) {
      target.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
  window.Worker = window.IFrameWorker;
}
