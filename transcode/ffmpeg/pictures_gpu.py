"""The pictures of a plan in GPU memory: the same cascade, by filters of the card. Pure."""

from transcode.ffmpeg.geometry import Frame, Size
from transcode.ffmpeg.pictures import Pictures, padded, tagged


class GpuPictures(Pictures):
    """As `Pictures`; a frame goes to main memory only for black bars, which no build can draw on the card."""

    def _front(self, largest: Size) -> list[str]:  # noqa: ARG002
        # Where NVDEC passes a file on to the software decoder without a word, its frames are uploaded here;
        # frames that are on the card already pass through untouched.
        filters = ["format=nv12|p010le|cuda", "hwupload"]
        gpu = self._plan.gpu
        if self._plan.source.video.interlaced and gpu is not None:
            filters.append(f"{gpu.deinterlacer}=mode=send_frame:parity=auto:deint=interlaced")
        return [*filters, *self._capped()]

    def _scaled(self, size: Size, first: bool) -> list[str]:
        scale = f"scale_cuda=w={size.width}:h={size.height}"
        if not first:
            return [scale, "setsar=1"]
        # passthrough=0 copies also where nothing changes: the encoder's look-ahead would else hold the decoder's
        # own pictures, of which there are few. nv12 is 8 bit 4:2:0.
        return [f"{scale}:format=nv12:passthrough=0", "setsar=1", tagged(self._plan.colour)]

    def _padded(self, frame: Frame) -> list[str]:
        bars = padded(frame)
        return ["hwdownload", "format=nv12", *bars, "hwupload"] if bars else []
