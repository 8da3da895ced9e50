from pynqmetadata.frontends import Metadata

class RuntimeMetadataParser:
    def __init__(self, md: Metadata) -> None: ...
