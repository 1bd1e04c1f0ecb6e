"""Register QUACLRS with Transformers: after `import quaclrs.auto`, Auto classes and pipelines load its models."""

from .extras import named_extra

with named_extra():
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification

    from .models.configuration_quaclrs import QuaclrsConfig
    from .models.feature_extraction_quaclrs import QuaclrsFeatureExtractor
    from .models.modeling_quaclrs import QuaclrsForAudioClassification, QuaclrsModel

AutoConfig.register("quaclrs", QuaclrsConfig, exist_ok=True)
AutoModel.register(QuaclrsConfig, QuaclrsModel, exist_ok=True)
AutoModelForAudioClassification.register(QuaclrsConfig, QuaclrsForAudioClassification, exist_ok=True)
AutoFeatureExtractor.register(QuaclrsConfig, QuaclrsFeatureExtractor, exist_ok=True)
